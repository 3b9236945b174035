"""Markdown without the line breaks that an editor made: a page that shows every one would break sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"(?P<indent> *)(?P<marker>[-*+]|(?P<number>\d{1,9})[.)])(?P<gap> +)(?=\S)")
_OF_ITS_OWN = re.compile(
    r" {0,3}(#{1,6}(\s|$)"  # a heading
    r"|=+\s*$|([-*_] *){3,}$|-+\s*$"  # the line under one, a rule
    r"|\|"  # a row of a table
    r"|\[[^\]]+\]:\s)"  # where a link leads
)
_UNDER_TABLE_HEAD = re.compile(r" {0,3}\|?( *:?-+:? *\|)+( *:?-+:? *)?$")
_QUOTE = re.compile(r" {0,3}> ?")
_BREAK = re.compile(r"( {2,}|\\)$")


def unwrapped(text: str) -> str:
    """Markdown with each paragraph on one line.

    Blank lines, headings, lists, quotes, tables, code and the breaks of Markdown (two spaces or a backslash
    at the end of a line) stay as they are.
    """
    return "\n".join(_unwrapped(text.split("\n")))


def _unwrapped(lines: Sequence[str]) -> list[str]:
    done, may_go_on = list[str](), False
    for kind, group in groupby(zip(lines, _Reader().kinds(lines), strict=True), key=itemgetter(1)):
        for line in _quote(group) if kind == "quote" else (line for line, _ in group):
            if kind == "text" and may_go_on:
                done[-1] = _joined(done[-1], line)
            else:
                done.append(line)
            may_go_on = kind in {"text", "item"} and not _BREAK.search(line)
    return done


def _quote(group: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"> {line}".rstrip(" ") for line in _unwrapped([_QUOTE.sub("", line) for line, _ in group]))


class _Reader:
    """Tells line by line what each is: text, item, blank, code, alone or quote."""

    def __init__(self) -> None:
        self.before = "blank"
        self.fence = ""
        self.inside = 0
        """Where the text of the list item begins that the next lines may belong to; 0 outside of lists."""

    def kinds(self, lines: Sequence[str]) -> Iterator[str]:
        table = _table_lines(lines)
        for number, line in enumerate(lines):
            self.before = self._kind(line.expandtabs(4), in_table=number in table)
            yield self.before

    def _kind(self, line: str, *, in_table: bool) -> str:
        indent = len(line) - len(line.lstrip(" "))
        mark = _FENCE.match(line[min(indent, self.inside) :])
        if self.fence or mark:
            return self._in_fence(line, mark[1] if mark else "")
        if not line.strip():
            return "blank"
        if self.before in {"blank", "code"} and indent >= self.inside + 4:
            return "code"
        return "quote" if _QUOTE.match(line) else self._of_text(line, indent, in_table=in_table)

    def _in_fence(self, line: str, mark: str) -> str:
        if not self.fence:
            self.fence = mark
        elif mark.startswith(self.fence) and not line.strip(" `~"):
            self.fence = ""
        return "code"

    def _of_text(self, line: str, indent: int, *, in_table: bool) -> str:
        item = _ITEM.match(line)
        # A number begins a list, but within a paragraph only 1 does: "in the year\n2024. And then"
        if item and (item["number"] in {None, "1"} or self.before != "text" or self.inside):
            self.inside = item.end()
            return "item"
        if self.before == "blank" and indent < min(self.inside, 2):
            self.inside = 0
        return "alone" if in_table or _OF_ITS_OWN.match(line) else "text"


def _table_lines(lines: Sequence[str]) -> set[int]:
    found = set[int]()
    for number, line in enumerate(lines):
        if number and _UNDER_TABLE_HEAD.match(line) and "|" in lines[number - 1]:
            end = next((n for n in range(number, len(lines)) if not lines[n].strip()), len(lines))
            found |= {*range(number - 1, end)}
    return found


def _joined(line: str, more: str) -> str:
    line, more = line.rstrip(), more.lstrip()
    is_spaceless = all(unicodedata.east_asian_width(char) in "WF" for char in (line[-1:], more[:1]) if char)
    return line + ("" if is_spaceless else " ") + more
