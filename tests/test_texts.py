"""From rows to records, votes and rejects."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tutelage.core.errors import SourceError, TaskError
from tutelage.core.locks import locked
from tutelage.core.records import Progress, Record, Voter
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.task import Task
from tutelage.core.workspace import Workspace
from tutelage.loaders.gold import add_gold, read_gold
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.load import Columns, LoadResult, load, vote_columns
from tutelage.loaders.rows import ID_MAX_LENGTH, TEXT_MAX_LENGTH
from tutelage.loaders.sources import Source

Rows = Sequence[dict[str, Any]]


class Desk:
    """A task directory into which rows are loaded."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.task = workspace, workspace.task
        self._files = 0

    def source(self, rows: Rows) -> Source:
        self._files += 1
        path = self.workspace.root / f"rows-{self._files}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return Source(str(path))

    def load(self, rows: Rows | Source, *, text: str = "text", votes: Sequence[str] = (), **columns: str) -> LoadResult:
        source = rows if isinstance(rows, Source) else self.source(rows)
        return load(self.workspace, source, Columns(text=text, **columns, votes=vote_columns(votes, source, "llm")))

    def records(self, task: Task | None = None) -> list[Record]:
        with Ledger(self.workspace.db) as ledger:
            return list(ledger.records(task or self.task))

    def rejects(self) -> list[dict[str, Any]]:
        path = self.workspace.rejects
        return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


@pytest.fixture
def desk(make_task: Callable[..., Workspace]) -> Desk:
    return Desk(make_task())


# Ids


def test_a_second_run_adds_nothing(desk: Desk) -> None:
    source = desk.source([{"text": f"text {i}", "vote": "positive"} for i in range(5)])
    first = desk.load(source, votes=["vote"])
    assert (first.rows, first.new, first.known, first.answers) == (5, 5, 0, 5)
    before = desk.records()
    again = desk.load(source, votes=["vote"])
    assert (again.rows, again.new, again.known, again.answers) == (5, 0, 5, 0)
    assert desk.records() == before


def test_a_vote_that_says_something_else_now_is_counted_and_the_first_stays(desk: Desk) -> None:
    first = [{"id": str(i), "text": f"text {i}", "vote": "positive"} for i in range(3)]
    desk.load(first, id="id", votes=["vote"])
    again = desk.load([{**first[0], "vote": "negative"}, *first[1:]], id="id", votes=["vote"])
    assert (again.answers, again.differing) == (0, 1)
    assert [record.votes[0].raw for record in desk.records()] == ["positive"] * 3


def test_equal_texts_stay_separate_records(desk: Desk) -> None:
    rows = [{"text": text, "vote": vote} for text, vote in [("a", "x"), ("b", "y"), ("a", "z"), (" a ", "w")]]
    for _ in range(2):
        desk.load(rows, votes=["vote"])
        records = desk.records()
        assert [record.text for record in records] == ["a", "b", "a", " a "]
        assert [record.votes[0].raw for record in records] == ["x", "y", "z", "w"]
        assert len({record.id for record in records}) == 4
    stem = records[0].id.removesuffix("-1")
    assert [record.id for record in records if record.id.startswith(stem)] == [f"{stem}-{n}" for n in (1, 2, 3)]


def test_the_hash_of_a_text_never_changes(desk: Desk) -> None:
    desk.load([{"text": "The cat  sat.\n"}, {"text": "The cat sat."}, {"text": "cafe\u0301"}, {"text": "caf\u00e9"}])
    ids = [record.id for record in desk.records()]
    assert ids == ["84549cfaa5640d83-1", "84549cfaa5640d83-2", "850f7dc43910ff89-1", "850f7dc43910ff89-2"]


def test_a_text_with_other_white_space_is_the_same_text(desk: Desk) -> None:
    desk.load([{"text": "the cat  sat"}])
    again = desk.load([{"text": "the cat sat\n"}])
    assert (again.known, again.rejected) == (1, 0)
    assert [record.text for record in desk.records()] == ["the cat  sat"]


def test_more_rows_in_the_file_are_added_to_those_that_are_known(desk: Desk) -> None:
    rows = [{"text": "a"}, {"text": "b"}]
    desk.load(rows)
    more = desk.load([*rows, {"text": "a"}, {"text": "c"}])
    assert (more.known, more.new) == (2, 2)


def test_the_id_column_names_the_records(desk: Desk) -> None:
    ids = ["1", "a/b c,d;😀", "ä" * ID_MAX_LENGTH, "00000000-0000-0000-0000-000000000001"]
    desk.load([{"id": f" {i} ", "text": "same"} for i in ids], id="id")
    assert [record.id for record in desk.records()] == ids


def test_an_id_seen_with_another_text_is_rejected(desk: Desk) -> None:
    rows = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}, {"id": "1", "text": "other"}, {"id": "1", "text": "a"}]
    loaded = desk.load(rows, id="id")
    assert (loaded.rows, loaded.new, loaded.known, loaded.rejected) == (4, 2, 1, 1)
    later = desk.load([{"id": "2", "text": "changed"}, {"id": "3", "text": "c"}], id="id")
    assert (later.new, later.rejected) == (1, 1)
    assert {record.id: record.text for record in desk.records()} == {"1": "a", "2": "b", "3": "c"}
    assert [(r["row"], r["reason"]) for r in desk.rejects()] == [
        (3, "id '1' already has another text"),
        (1, "id '2' already has another text"),
    ]


# Bad rows


def test_bad_rows_are_rejected_with_number_and_reason_and_the_good_rows_go_on(desk: Desk) -> None:
    long = "x" * (TEXT_MAX_LENGTH + 1)
    rows: list[dict[str, Any]] = [
        {"text": "good", "vote": "positive"},
        {"text": "", "vote": "positive"},
        {"text": " \n\t", "vote": "positive"},
        {"vote": "positive"},
        {"text": None, "vote": "positive"},
        {"text": long, "vote": "positive"},
        {"text": "n\0l", "vote": "positive"},
        {"text": "vote", "vote": "posi\0tive"},
        {"text": "half \ud83d", "vote": "positive"},
        {"text": "x" * TEXT_MAX_LENGTH, "vote": "positive"},
        {"text": "good too", "vote": "negative", "unused": "\0"},
    ]
    loaded = desk.load(rows, votes=["vote"])
    assert (loaded.rows, loaded.new, loaded.rejected) == (11, 3, 8)
    assert [(reject["row"], reject["reason"]) for reject in desk.rejects()] == [
        (2, "has no text"),
        (3, "has no text"),
        (4, "has no text"),
        (5, "has no text"),
        (6, "text of 100001 characters is too long for Argilla (at most 100000)"),
        (7, "contains a NUL character"),
        (8, "contains a NUL character"),
        (9, "contains a lone surrogate"),
    ]
    assert desk.rejects()[6]["values"] == rows[7], "the row can be mended from what is kept of it"
    assert [len(record.text) for record in desk.records()] == [4, TEXT_MAX_LENGTH, 8]


@pytest.mark.parametrize("bad", ["", "  ", "x" * (ID_MAX_LENGTH + 1)])
def test_an_id_must_be_usable(desk: Desk, bad: str) -> None:
    loaded = desk.load([{"id": bad, "text": "a"}, {"id": "2", "text": "b"}], id="id")
    assert (loaded.new, loaded.rejected) == (1, 1)
    assert "id must have" in desk.rejects()[0]["reason"]


def test_rejects_are_written_once_however_often_the_file_is_loaded(desk: Desk) -> None:
    source = desk.source([{"text": ""}, {"text": "a"}, {"text": "\0"}])
    for _ in range(3):
        assert desk.load(source).rejected == 2
    assert [reject["row"] for reject in desk.rejects()] == [1, 3]


def test_a_torn_last_line_of_rejects_is_repaired(desk: Desk) -> None:
    source = desk.source([{"text": ""}, {"text": "a"}, {"text": " "}])
    desk.load(source)
    whole = desk.workspace.rejects.read_bytes()
    for cut in (1, 20, len(whole.splitlines()[1])):
        desk.workspace.rejects.write_bytes(whole[:-cut])
        desk.load(source)
        assert desk.workspace.rejects.read_bytes() == whole


def test_rejects_of_others_are_never_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    kept, mine = Reject(source="a", reason="kept"), Reject(source="b", row=2, reason="mine")
    Rejects(path).add([kept])
    before = path.read_bytes()
    inode = path.stat().st_mtime_ns
    rejects = Rejects(path)
    assert path.stat().st_mtime_ns == inode
    with path.open("ab") as file:
        file.write(b'{"of another process": 2}\n')
    rejects.add([kept, mine])
    added = b'{"source": "b", "row": 2, "id": null, "reason": "mine", "values": {}}\n'
    assert path.read_bytes() == before + b'{"of another process": 2}\n' + added


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_damaged_gold_says_what_to_do_and_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gold.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"gold\.parquet: cannot be read: [^\n]*\. Put a copy of it back"):
        add_gold(tmp_path / "gold.parquet", {"a": "1"})
    assert (tmp_path / "gold.parquet").read_bytes() == content


def test_rejects_are_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"mine\nand a line that is not ended")
    path = tmp_path / "rejects.jsonl"
    path.symlink_to(tmp_path / "other")
    with pytest.raises(TaskError, match=r"rejects\.jsonl: is a symbolic link, .* not written to\. Remove the link"):
        Rejects(path)
    path.unlink()
    rejects = Rejects(path)
    path.symlink_to(tmp_path / "new")
    with pytest.raises(TaskError, match="is a symbolic link"):
        rejects.add([Reject(source="a.csv", row=1, reason="has no text")])
    assert (tmp_path / "other").read_bytes() == b"mine\nand a line that is not ended"
    assert not (tmp_path / "new").exists()


def test_a_lock_is_not_taken_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "a.lock").symlink_to(tmp_path / "other")
    with pytest.raises(TaskError, match=r"a\.lock: is a symbolic link"), locked(tmp_path / "a.lock", on_wait=print):
        pass
    assert (tmp_path / "other").read_text() == "mine"


def test_what_0_1_0_wrote_is_known_and_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text(
        '{"source": "a.csv", "row": 3, "reason": "has no text", "values": {"text": ""}}\n'
        '{"source": "push", "id": "r1", "reason": "too long"}\n'
        '{"record": "r2", "teacher": "t", "prompt": "cot@1", "reason": "refused"}\n'
    )
    before = path.read_bytes()
    Rejects(path).add(
        [
            Reject(source="a.csv", row=3, reason="has no text", values={"text": ""}),
            Reject(source="push", id="r1", reason="too long"),
            Reject(source="t cot@1", id="r2", reason="refused"),
        ]
    )
    assert path.read_bytes() == before


def test_a_missing_column_names_those_that_are_there(desk: Desk) -> None:
    with pytest.raises(SourceError, match=r"no column 'body', 'key'; its columns: text, vote"):
        desk.load([{"text": "a", "vote": "b"}], text="body", id="key")


# Votes


def test_a_vote_outside_the_labels_is_an_abstention_that_keeps_what_was_said(desk: Desk) -> None:
    said = ["Positive.", "I cannot tell,\nsorry 😀", "", "positive or negative", "NEUTRAL"]
    loaded = desk.load([{"text": s or "-", "vote": s} for s in said], votes=["vote"])
    assert (loaded.answers, loaded.abstentions) == (5, 3)
    votes = [record.votes[0] for record in desk.records()]
    assert [vote.raw for vote in votes] == said
    assert [vote.label for vote in votes] == ["positive", None, None, None, "neutral"]


def test_an_alias_added_later_turns_an_abstention_into_a_vote(desk: Desk) -> None:
    desk.load([{"text": "a", "vote": "bullish"}], votes=["vote"])
    assert desk.records()[0].votes[0].label is None
    labels = [{"name": "positive", "aliases": ["bullish"]}, {"name": "negative"}]
    assert desk.records(Task(name="n", labels=labels))[0].votes[0].label == "positive"  # type: ignore[arg-type]


LABELS = ["so, so", "😀 good", "очень плохо", "好", 'say "no"', "a:b", "  inner  space"]


def test_labels_may_hold_spaces_commas_emoji_and_any_script(
    make_task: Callable[..., Workspace], write_csv: Callable[..., Path]
) -> None:
    desk = Desk(make_task(LABELS))
    path = write_csv([{"text": label, "vote": label, "given": label, "reason": f"weil {label}"} for label in LABELS])
    loaded = desk.load(Source(str(path)), votes=["vote:reason"], given="given")
    assert loaded.abstentions == 0
    records = desk.records()
    assert [record.given for record in records] == LABELS
    assert [record.votes[0].label for record in records] == LABELS
    assert [record.votes[0].reason for record in records] == [f"weil {label}" for label in LABELS]


def test_each_vote_column_is_a_voter_and_keeps_its_reason(desk: Desk) -> None:
    row = {"text": "a", "v1": "positive", "r1": "up", "v2": "negative", "v:3": "neutral"}
    desk.load([row], votes=["v1:r1", "v2", "v:3"])
    votes = desk.records()[0].votes
    assert [(vote.voter, vote.label, vote.reason) for vote in votes] == [
        (Voter("llm", "v1"), "positive", "up"),
        (Voter("llm", "v2"), "negative", ""),
        (Voter("llm", "v:3"), "neutral", ""),
    ]


def test_a_star_takes_every_matching_column_as_a_teacher_of_its_own(desk: Desk) -> None:
    source = desk.source([{"text": "a", "vote__gpt": "positive", "vote__Phi 4": "negative", "vote": "neutral"}])
    found = vote_columns(["vote__*", "vote"], source, "llm")
    assert [(column.voter.teacher, column.label) for column in found] == [
        ("gpt", "vote__gpt"),
        ("Phi 4", "vote__Phi 4"),
        ("llm", "vote"),
    ]
    assert len({column.voter for column in found}) == 3
    with pytest.raises(SourceError, match=r"no column matches --vote 'x\*'; its columns: text, vote__gpt"):
        vote_columns(["x*"], source, "llm")


def test_a_vote_column_that_is_not_there_is_an_error(desk: Desk) -> None:
    with pytest.raises(SourceError, match="no column 'r'; its columns: text, v"):
        desk.load([{"text": "a", "v": "positive"}], votes=["v:r"])


def test_votes_may_come_after_the_texts_and_from_several_files(desk: Desk) -> None:
    desk.load([{"text": "a"}, {"text": "b"}])
    first = desk.load([{"text": "b", "v1": "positive"}], votes=["v1"])
    second = desk.load([{"text": "b", "v2": "negative"}], votes=["v2"])
    assert [(loaded.new, loaded.answers) for loaded in (first, second)] == [(0, 1), (0, 1)]
    assert [[vote.raw for vote in record.votes] for record in desk.records()] == [[], ["positive", "negative"]]


# Given labels and gold


def test_given_labels_need_no_votes(desk: Desk) -> None:
    rows = [{"text": "a", "mine": "Positive"}, {"text": "b", "mine": ""}, {"text": "c", "mine": "?"}]
    assert desk.load(rows, given="mine").given_unread == 1
    assert [(record.given, record.votes) for record in desk.records()] == [("positive", ()), (None, ()), (None, ())]


def test_given_labels_may_come_later_but_are_never_replaced(desk: Desk) -> None:
    desk.load([{"text": "a"}])
    desk.load([{"text": "a", "mine": "positive"}], given="mine")
    desk.load([{"text": "a", "mine": "negative"}], given="mine")
    assert [record.given for record in desk.records()] == ["positive"]


def test_gold_is_in_no_file_but_its_own(desk: Desk) -> None:
    rows = [{"text": "a", "vote": "positive", "gold": "GOLDEN-1"}, {"text": "b", "gold": ""}]
    rows += [{"text": "", "vote": "negative", "gold": "GOLDEN-2"}]
    loaded = desk.load(rows, votes=["vote"], gold="gold")
    first = desk.records()[0].id
    assert read_gold(desk.workspace.gold) == {first: "GOLDEN-1"}
    others = [path for path in desk.workspace.root.iterdir() if path.name not in {"gold.parquet", "rows-1.jsonl"}]
    assert {path.name for path in others} >= {"task.db", "rejects.jsonl"}
    assert not [path for path in others if b"GOLDEN" in path.read_bytes()]
    assert "GOLDEN" not in json.dumps(asdict(loaded)) + repr(loaded), "what a command prints of a load"


def test_gold_of_several_files_adds_up_and_the_newer_counts(tmp_path: Path) -> None:
    path = tmp_path / "gold.parquet"
    add_gold(path, {"a": "1", "b": "2"})
    add_gold(path, {"b": "3", "c": "4"})
    add_gold(path, {})
    assert read_gold(path) == {"a": "1", "b": "3", "c": "4"}


# Streaming


def test_rows_are_committed_and_told_as_they_come(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def progress(state: Progress) -> None:
        with sqlite3.connect(desk.workspace.db) as other:
            seen.append((state.done, other.execute("SELECT count(*) FROM records").fetchone()[0]))
        other.close()

    taken = []
    rows = Source.rows

    def counted(self: Source) -> Iterator[Any]:
        for row in rows(self):
            taken.append(row.number)
            yield row

    monkeypatch.setattr(Source, "rows", counted)
    source = desk.source([{"text": f"text {i}"} for i in range(2500)])
    told: list[int] = []

    def told_and_taken(state: Progress) -> None:
        told.append(len(taken))
        progress(state)

    load(desk.workspace, source, Columns(text="text"), progress=told_and_taken)
    assert seen == [(1000, 1000), (2000, 2000), (2500, 2500)]
    assert told == [1000, 2000, 2500], "no more of the file is held than a batch"
