"""Rows from files and through ``datasets``."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tutelage.core.errors import SourceError
from tutelage.loaders.rows import Row
from tutelage.loaders.sources import Source


def rows_of(path: Path, **options: str) -> list[Row]:
    return list(Source(str(path), **options).rows())


def texts_of(path: Path, **options: str) -> list[str]:
    return [row.cell("text") for row in rows_of(path, **options)]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# compressed


def compressed(path: Path, content: bytes) -> Path:
    """Written with the compression that the name ends in."""
    codec = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}[path.suffix]
    with pa.CompressedOutputStream(path, codec) as file:
        file.write(content)
    return path


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "GZ"])
def test_a_compressed_file_says_what_it_says_uncompressed(tmp_path: Path, ending: str) -> None:
    tables = {"a.csv": "id,text\n007,üß\n", "a.tsv": "id\ttext\n007\tüß\n", "a.jsonl": '{"id": "007", "text": "üß"}\n'}
    for name, content in tables.items():
        path = compressed(tmp_path / f"{name}.{ending.lower()}", content.encode())
        path = path.rename(tmp_path / f"{name}.{ending}")
        assert Source(str(path)).columns() == ["id", "text"]
        assert [row.values for row in rows_of(path)] == [{"id": "007", "text": "üß"}]
    other = compressed(tmp_path / f"b.csv.{ending.lower()}", "text\né\né\né\n".encode("cp1252"))
    with pytest.raises(SourceError, match="pass its encoding"):
        rows_of(other)
    assert texts_of(other, encoding="cp1252") == ["é"] * 3


def test_a_compressed_file_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    for ending in ("gz", "bz2", "zst"):
        path, more = (compressed(tmp_path / f"{i}.csv.{ending}", f"text\n{i}\n".encode()) for i in (1, 2))
        written(path, path.read_bytes() + more.read_bytes())
        assert texts_of(path) == ["1", "text", "2"]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_a_compressed_file_that_is_cut_off_or_something_else_is_one_error(tmp_path: Path, ending: str) -> None:
    rows = "".join(f"{i},{i * 7919 % 10007}\n" for i in range(60_000))
    whole = compressed(tmp_path / f"a.csv.{ending}", f"id,text\n{rows}".encode()).read_bytes()
    assert len(texts_of(written(tmp_path / f"whole.csv.{ending}", whole))) == 60_000
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:10], b"id,text\n1,never compressed\n"):
        path = written(tmp_path / f"b.csv.{ending}", content)
        with pytest.raises(SourceError, match=rf"b\.csv\.{ending}: cannot be read: .*fetch or compress it again"):
            rows_of(path)


def test_a_compressed_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.jsonl.gz", b'{"text": "%s"}\n' % (b"x" * 1000) * 30_000)
    tracemalloc.start()
    count = sum(1 for _ in Source(str(path)).rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 5_000_000  # the file has thirty million bytes


def test_compressed_parquet_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.parquet.gz", b"PAR1")
    with pytest.raises(SourceError, match="decompress it first"):
        rows_of(path)


# CSV


def test_csv_with_quotes_line_breaks_and_commas(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", 'id,text\r\n1,"a ""quoted"", word\nand a line"\r\n2,plain\r\n\r\n3,"  spaces "\r\n'
    )
    assert texts_of(path) == ['a "quoted", word\nand a line', "plain", "  spaces "]
    assert [row.number for row in rows_of(path)] == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8"])
@pytest.mark.parametrize(("name", "content"), [("a.csv", "text\nüß\n"), ("a.jsonl", '{"text": "üß"}\n')])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, encoding: str, name: str, content: str) -> None:
    path = written(tmp_path / name, content.encode("utf-8-sig"))
    source = Source(str(path), encoding)
    assert source.columns() == ["text"]
    assert [(row.cell("text"), row.problem) for row in source.rows()] == [("üß", "")]


def test_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "id\ttext\n1\tone, two\n")
    assert rows_of(path)[0].values == {"id": "1", "text": "one, two"}


def test_a_row_with_other_cells_than_the_header_is_one_bad_row(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path / "a.csv", "id,text\n1,a\n2,b,c\n3\n4,d\n"))
    assert [bool(row.problem) for row in rows] == [False, True, True, False]
    assert rows[1].problem == "has 3 cells, the header 2"


def test_a_quote_that_is_never_closed_is_one_bad_row(tmp_path: Path) -> None:
    lines = ['1,"a ""quoted"" word"', '2,"two', 'lines"', '3,"Great 5 inch screen', "4,four", '5,"open', "6,six"]
    path = written(tmp_path / "a.csv", "id,text\n" + "\n".join(lines))
    found = [(row.number, row.cell("text"), row.problem) for row in rows_of(path)]
    bad = "has a quote that is not closed, or is closed inside a cell"
    assert found == [
        (1, 'a "quoted" word', ""),
        (2, "two\nlines", ""),
        (3, "", bad),
        (4, "four", ""),
        (5, "", bad),
        (6, "six", ""),
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_csv_with_two_columns_of_one_name_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content = "id,text,label,text\n1,a,x,b\n".replace(",", "\t" if name == "a.tsv" else ",")
    with pytest.raises(SourceError, match=rf"{name}: line 1: columns 2 and 4 are both called 'text'; rename or remove"):
        rows_of(written(tmp_path / name, content))


def test_columns_without_a_name_that_a_spreadsheet_leaves_are_no_matter(tmp_path: Path) -> None:
    assert texts_of(written(tmp_path / "a.csv", "id,text,,\n1,a,,\n")) == ["a"]


def test_an_empty_csv_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="first line must name the columns"):
        Source(str(written(tmp_path / "a.csv", ""))).columns()


def test_a_csv_cell_may_be_longer_than_the_csv_module_likes(tmp_path: Path) -> None:
    assert len(texts_of(written(tmp_path / "a.csv", "text\n" + "x" * 200_000 + "\n"))[0]) == 200_000


# Encodings


def test_a_file_in_another_encoding_names_the_option(tmp_path: Path) -> None:
    lines = "".join(f"{i},süßer Käse {i}\n" for i in range(50))
    path = written(tmp_path / "a.csv", ("id,text\n" + lines).encode("cp1252"))
    with pytest.raises(SourceError, match=r"a\.csv: is not UTF-8; pass its encoding, for example --encoding cp1252"):
        Source(str(path)).columns()
    assert texts_of(path, encoding="cp1252")[7] == "süßer Käse 7"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_utf16_file_names_the_option_and_then_is_read(tmp_path: Path, name: str) -> None:
    lines = [json.dumps({"text": f"käse {i} 😀"}, ensure_ascii=False) for i in range(40)]
    content = "\n".join(lines) if name == "a.jsonl" else "text\n" + "".join(f"käse {i} 😀\n" for i in range(40))
    path = written(tmp_path / name, content.encode("utf-16"))
    with pytest.raises(SourceError, match="--encoding utf-16"):
        Source(str(path)).columns()
    assert texts_of(path, encoding="utf-16") == [f"käse {i} 😀" for i in range(40)]


def test_a_large_utf16_file_may_be_cut_anywhere_by_the_probe(tmp_path: Path) -> None:
    for shift in ("", "x"):
        path = written(tmp_path / "a.csv", ("text\n" + shift + "😀" * 300_000 + "\n").encode("utf-16"))
        assert texts_of(path, encoding="utf-16")[0].count("😀") == 300_000


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_one_bad_row_in_a_utf8_file_is_one_bad_row(tmp_path: Path, name: str) -> None:
    lines = [f'{{"text": "käse {i}"}}'.encode() if name == "a.jsonl" else f"käse {i}".encode() for i in range(9)]
    lines[4] = lines[4].replace("ä".encode(), b"\xe4")
    head = [b"text"] if name == "a.csv" else []
    rows = rows_of(written(tmp_path / name, b"\n".join([*head, *lines, b""])))
    assert [row.number for row in rows if row.problem] == [5]
    assert "is not UTF-8" in rows[4].problem
    assert "--encoding" in rows[4].problem
    assert rows[8].cell("text") == "käse 8"


@pytest.mark.parametrize("encoding", ["klingon", "hex", "undefined"])
def test_an_encoding_that_is_none_is_an_error(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(SourceError, match=f"--encoding {encoding}"):
        rows_of(written(tmp_path / "a.csv", "text\na\n"), encoding=encoding)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_that_breaks_off_in_its_encoding_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    good = "text\n" if name == "a.csv" else ""
    good += "".join('{"text": "a"}\n' for _ in range(60_000))
    path = written(tmp_path / name, good.encode("utf-16") + b"\x00")
    with pytest.raises(SourceError, match=rf"{name}: --encoding utf-16: "):
        rows_of(path, encoding="utf-16")


def test_a_nul_in_one_row_does_not_make_the_file_utf16(tmp_path: Path) -> None:
    assert texts_of(written(tmp_path / "a.csv", "text\none\nt\0wo\nthree\n")) == ["one", "t\0wo", "three"]


# JSONL


def test_a_broken_line_of_jsonl_is_one_bad_row(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b"\n\n[1]\n{"text": "c"}\n'))
    assert [(row.number, row.problem.split(":")[0]) for row in rows] == [
        (1, ""),
        (2, "is not JSON"),
        (3, "is not a JSON object"),
        (4, ""),
    ]


def test_a_line_of_jsonl_that_is_nested_too_deeply_is_one_bad_row(tmp_path: Path) -> None:
    deep = '{"text": ' + "[" * 30_000 + "]" * 30_000 + "}"
    rows = rows_of(written(tmp_path / "a.jsonl", f'{{"text": "a"}}\n{deep}\n{{"text": "c"}}\n'))
    assert [row.problem for row in rows] == ["", "is nested too deeply", ""]


def test_a_line_of_jsonl_with_a_key_twice_is_one_bad_row(tmp_path: Path) -> None:
    lines = ['{"text": "a"}', '{"text": "b", "text": "c"}', '{"text": "d", "more": {"x": 1, "x": 2}}', '{"text": "e"}']
    rows = rows_of(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [row.problem for row in rows] == ["", "has the key 'text' twice", "has the key 'x' twice", ""]
    assert [row.cell("text") for row in rows if not row.problem] == ["a", "e"]


def test_a_file_of_such_lines_only_says_what_is_wrong_with_the_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.jsonl: row 1 has the key 'text' twice; expected one JSON"):
        rows_of(written(tmp_path / "a.jsonl", '{"text": "b", "text": "c"}\n'))


def test_values_of_json_become_text(tmp_path: Path) -> None:
    line = '{"text": "a\\u00e4\\n", "id": 7, "none": null, "nan": NaN, "yes": true, "list": ["x", "ü"], "f": 0.5}\n'
    assert rows_of(written(tmp_path / "a.jsonl", line))[0].values == {
        "text": "aä\n",
        "id": "7",
        "none": "",
        "nan": "",
        "yes": "true",
        "list": '["x", "ü"]',
        "f": "0.5",
    }


def test_rows_of_jsonl_may_leave_keys_out(tmp_path: Path) -> None:
    source = Source(str(written(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b", "vote": "x"}\n')))
    assert source.columns() == ["text", "vote"]
    assert [row.cell("vote") for row in source.rows()] == ["", "x"]


def test_a_json_file_that_is_one_list_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="one JSON object per line"):
        Source(str(written(tmp_path / "a.json", '[{"text": "a"}, {"text": "b"}]\n'))).columns()


# Parquet


def test_parquet_with_missing_values_numbers_and_bytes(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"text": ["a", None, "ü"], "id": [1, 2, None], "raw": [b"x", "é".encode(), b"\xff"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows = rows_of(tmp_path / "a.parquet")
    assert [row.values["text"] for row in rows] == ["a", "", "ü"]
    assert [row.values["id"] for row in rows] == ["1", "2", ""]
    assert [row.values["raw"] for row in rows[:2]] == ["x", "é"]
    assert [bool(row.problem) for row in rows] == [False, False, True]


def test_a_value_of_parquet_that_cannot_be_had_is_one_bad_row(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff", b"c", b"d"])
    texts = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    times = pa.array([0, 0, 1 << 62, 0], pa.timestamp("us"))
    pq.write_table(pa.table({"text": texts, "time": times, "id": ["1", "2", "3", "4"]}), tmp_path / "a.parquet")
    rows = rows_of(tmp_path / "a.parquet")
    assert [(row.number, bool(row.problem)) for row in rows] == [(1, False), (2, True), (3, True), (4, False)]
    assert "cannot be read: 'utf-8' codec" in rows[1].problem
    assert rows[3].cell("text") == "d"
    named = list(Source(str(tmp_path / "a.parquet")).rows(["text", "id"]))
    assert [row.number for row in named if row.problem] == [2]
    assert named[2].values == {"text": "c", "id": "3"}


def test_a_damaged_parquet_file_is_an_error_that_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(4000)]}), path, row_group_size=2000)
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)
    source, seen = Source(str(path)), 0
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read after row 2000: [^\n]+; write the file again$"):  # noqa: PT012
        for row in source.rows():
            seen = row.number
    assert seen == 2000


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_that_the_system_does_not_let_us_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", name)

    path = written(tmp_path / name, "text\na\n")
    monkeypatch.setattr(Path, "open", fail)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
    with pytest.raises(SourceError, match=rf"{name}: .*Permission denied"):
        Source(str(path)).columns()


def test_a_parquet_file_with_two_columns_of_one_name_is_refused_by_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet: columns 1 and 2 are both called 'text'; rename or remove one"):
        rows_of(tmp_path / "a.parquet")


def test_a_frame_with_two_columns_of_one_name_is_refused_by_name() -> None:
    import pandas as pd

    with pytest.raises(SourceError, match="DataFrame: columns 1 and 3 are both called 'text'; rename or remove one"):
        list(Source("DataFrame", frame=pd.DataFrame([["a", 1, "b"]], columns=["text", "id", "text"])).rows())


def test_what_is_no_parquet_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        rows_of(written(tmp_path / "a.parquet", "text\na\n"))


def test_a_file_that_is_not_there_names_the_way_to_the_hub(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="hf://owner/name"):
        rows_of(tmp_path / "a.csv")


# Datasets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder such as a dataset's repository on the Hub: Parquet with the features in its schema."""
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "so, so", "positive"])}
    )
    for split, labels in (("train", [2, 0, 1, -1, None]), ("test", [0])):
        data = datasets.Dataset.from_dict({"sentence": [f"{split} {i}" for i in labels], "label": labels}, features)
        path = tmp_path / "repo" / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        data.to_parquet(str(path))
    return tmp_path / "repo"


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return


@pytest.mark.usefixtures("_own_cache")
def test_class_labels_become_their_names(folder: Path) -> None:
    source = Source(f"hf://{folder}")
    assert source.columns() == ["sentence", "label"]
    assert [row.cell("label") for row in source.rows()] == ["positive", "negative", "so, so", "", ""]
    assert [row.cell("sentence") for row in source.rows()][:2] == ["train 2", "train 0"]


@pytest.mark.usefixtures("_own_cache")
def test_the_split_is_chosen(folder: Path) -> None:
    assert [row.cell("sentence") for row in Source(f"hf://{folder}", split="test").rows()] == ["test 0"]
    with pytest.raises(SourceError, match="Check the name, --split"):
        Source(f"hf://{folder}", split="dev").columns()


@pytest.mark.usefixtures("_own_cache")
def test_loading_a_dataset_draws_no_bar_where_there_is_no_terminal(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    list(Source(f"hf://{folder}").rows())
    assert capfd.readouterr() == ("", "")
