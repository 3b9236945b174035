"""XLSX sheets: every cell a text or a number, none of them a formula."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.core.errors import SourceError
from tutelage.loaders.rows import Row

CELL_MAX_LENGTH, ROWS_MAX = 32_767, 1_048_576
CUT = " [cut]"
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, kw_only=True)
class SheetColumn:
    """A column of a sheet: its name, its width in characters, and where to choose from if not free."""

    name: str
    width: int = 16
    choices: tuple[str, ...] = ()


@dataclass
class Altered:
    """Cells that XLSX cannot hold as they are: longer than 32,767 characters, or with control characters."""

    cut: int = 0
    cleaned: int = 0


def comes_back(text: str) -> bool:
    """Whether a text is the same after XLSX."""
    return len(text) <= CELL_MAX_LENGTH and "\r" not in text and not _NOT_IN_XML.search(text)


def write_xlsx(path: Path, columns: Sequence[SheetColumn], rows: Iterable[Mapping[str, Any]], count: int) -> Altered:
    """Write ``count`` rows as a sheet with a frozen header, wrapped texts and its choices as drop-downs."""
    from openpyxl import Workbook

    book, altered = Workbook(write_only=True), Altered()
    sheet, longest = book.create_sheet("records"), max(len(column.choices) for column in columns)
    sheet.freeze_panes = "A2"
    for place, column in enumerate(columns):
        letter = _letter(place)
        sheet.column_dimensions[letter].width = column.width
        if column.choices:
            sheet.data_validations.append(_drop_down(letter, len(column.choices), count))
    head, body = _Lines(sheet, altered, bold=True), _Lines(sheet, altered)
    sheet.append(head(column.name for column in columns))
    for row in rows:
        sheet.append(body(row.get(column.name) for column in columns))
    if longest:
        lists = book.create_sheet("choices")
        lists.sheet_state = "hidden"
        listed = _Lines(lists, altered)
        for i in range(longest):
            lists.append(listed(column.choices[i] if i < len(column.choices) else None for column in columns))
    book.save(path)
    return altered


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _drop_down(letter: str, choices: int, count: int) -> Any:
    from openpyxl.worksheet.datavalidation import DataValidation

    chosen_from = f"choices!${letter}$1:${letter}${choices}"
    made = DataValidation(type="list", formula1=chosen_from, allow_blank=True, showErrorMessage=True)
    made.error = "Choose one of the list, or leave it empty."
    made.add(f"{letter}2:{letter}{max(count, 1) + 1}")
    return made


class _Lines:
    """Makes the cells of one line after the other; they are used again, because styling one takes long."""

    def __init__(self, sheet: Any, altered: Altered, *, bold: bool = False) -> None:
        self._sheet, self._altered, self._bold = sheet, altered, bold
        self._styled: dict[tuple[int, type], Any] = {}

    def __call__(self, values: Iterable[Any]) -> list[Any]:
        return [self._cell(place, value) for place, value in enumerate(values)]

    def _cell(self, place: int, value: Any) -> Any:
        key = place, type(value)
        if key not in self._styled:
            self._styled[key] = self._new(value)
        cell = self._styled[key]
        if isinstance(value, str):
            cell.value = _fitting(value, self._altered)
            cell.data_type = "s"  # openpyxl takes "=1" for a formula
        else:
            cell.value = value
        return cell

    def _new(self, value: Any) -> Any:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment, Font

        cell = WriteOnlyCell(self._sheet)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        if value is None or isinstance(value, str):
            cell.number_format = "@"  # what is typed or chosen here is a text, too
            cell.quotePrefix = isinstance(value, str)
        if self._bold:
            cell.font = Font(bold=True)
        return cell


def _fitting(text: str, altered: Altered) -> str:
    """The text without control characters, and cut where it is too long."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    clean = _NOT_IN_XML.sub("\ufffd", text)
    altered.cleaned += clean != text
    if len(clean.encode("utf-16-le")) // 2 <= CELL_MAX_LENGTH:
        return clean
    altered.cut += 1
    whole = clean.encode("utf-16-le")[: 2 * (CELL_MAX_LENGTH - len(CUT))]
    return whole.decode("utf-16-le", "ignore") + CUT


def read_xlsx(path: Path) -> Iterator[Row]:
    """The rows of the first sheet, whose first row names the columns; each cell as text, empty rows left out.

    Raises
    ------
    SourceError
        When the file cannot be read.
    """
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what openpyxl does not keep, such as another program's styles
            book = load_workbook(path, read_only=True, data_only=True)
            lines = [[_as_text(cell) for cell in line] for line in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as error:  # openpyxl lets through those of zip, XML and its own parts
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SourceError(f"{path}: cannot be read as XLSX: {reason}; save it again as .xlsx or .csv") from None
    names = lines[0] if lines else []
    for number, line in enumerate(lines[1:], 1):
        if any(line):
            yield Row(number, {name: cell for name, cell in zip(names, line, strict=False) if name})


def _as_text(value: Any) -> str:
    """A cell as a person reads it; an id that a spreadsheet has made a number is one again."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
