"""``task.db``: append-only, migrated, shared by processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tutelage.core.errors import LedgerError
from tutelage.core.records import Rank, Record, Response, Voter
from tutelage.core.task import parse_task
from tutelage.loaders.ledger import Added, Answer, Ledger
from tutelage.loaders.migrations import STEPS

TASK = parse_task("name: n\nlabels: [a, b]\n")
VOTER = Voter("llm", "plain")


def filled(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(
            [Record("r1", "text"), Record("r2", "more", given="b")],
            [Answer(record_id="r1", voter=VOTER, label_text="A.", reason="why")],
        )


def response(record: str, user: str, label: str, at: int = 1) -> Response:
    return Response(
        record_id=record,
        user_id=user,
        annotator=user,
        status="submitted",
        label=label,
        reason="",
        updated_at=datetime(2024, 1, at, tzinfo=UTC),
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with Ledger(tmp_path / "task.db") as ledger:
        one, two = ledger.records(TASK)
        assert (one.id, one.text, one.given) == ("r1", "text", None)
        assert [(vote.voter, vote.raw, vote.label, vote.reason) for vote in one.votes] == [(VOTER, "A.", "a", "why")]
        assert (two.id, two.given, two.votes) == ("r2", "b", ())
        assert ledger.record_count == 2
        assert ledger.text_of(["r2", "r3"]) == {"r2": "more"}


def test_an_answer_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with Ledger(tmp_path / "task.db") as ledger:
        added = ledger.add(
            [Record("r1", "other")],
            [
                Answer(record_id="r1", voter=VOTER, label_text="b", reason=""),
                Answer(record_id="r1", voter=Voter("llm", "x"), label_text="b", reason=""),
            ],
        )
        assert added == (Added(new=0, known=1), Added(new=1, known=1, differing=1))
        first = next(ledger.records(TASK))
        assert (first.text, [vote.raw for vote in first.votes]) == ("text", ["A.", "b"])


@pytest.mark.parametrize("statement", ["UPDATE answers SET said = 'b'", "DELETE FROM answers"])
def test_nobody_can_change_or_remove_an_answer(tmp_path: Path, statement: str) -> None:
    filled(tmp_path / "task.db")
    with closing(sqlite3.connect(tmp_path / "task.db")) as db, pytest.raises(sqlite3.Error, match="append-only"):
        db.execute(statement)
    with Ledger(tmp_path / "task.db") as ledger:
        assert next(ledger.records(TASK)).votes[0].raw == "A."


def test_answers_to_an_unknown_record_are_refused_and_nothing_of_the_batch_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "task.db") as ledger:
        with pytest.raises(sqlite3.IntegrityError):
            ledger.add([Record("r1", "text")], [Answer(record_id="ghost", voter=VOTER, label_text="a", reason="")])
        assert ledger.record_count == 0
        ledger.add([Record("r1", "text")])
        assert ledger.record_count == 1


def test_it_is_in_wal_mode(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with closing(sqlite3.connect(tmp_path / "task.db")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# Migrations


def at_version(path: Path, version: int) -> None:
    """A file as an older tutelage left it."""
    with closing(sqlite3.connect(path)) as db:
        for step in STEPS[:version]:
            db.executescript(step)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("INSERT INTO records (id, text, given) VALUES ('r1', 'text', 'b')")
        db.execute(
            "INSERT INTO answers (record, teacher, prompt, vote, said, reason) VALUES ('r1', 't', 'p', 1, 'a', '')"
        )
        db.execute("INSERT INTO ranks (record, label_quality, suspect_rank) VALUES ('r1', 0.5, 1)")
        db.execute("INSERT INTO pushed VALUES ('d', 'r1', 'hash', '{}')")
        answered = ("d", "r1", "u", "ann", "submitted", "a", "", "2024-01-01T00:00:00+00:00", "present")
        db.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", answered)
        db.commit()


def schema(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_an_older_file_is_brought_up_to_date_with_all_that_is_in_it(tmp_path: Path, version: int) -> None:
    at_version(tmp_path / "old.db", version)
    with Ledger(tmp_path / "old.db") as ledger:
        record = next(ledger.records(TASK))
        assert (record.id, record.text, record.given, record.votes[0].raw) == ("r1", "text", "b", "a")
        assert ledger.ranks() == {"r1": Rank("r1", 0.5, 1)}
        assert ledger.pushed("d") == {"r1": ("hash", "{}")}
        assert [(r.annotator, r.label) for r in ledger.responses("d")] == [("ann", "a")]
    with Ledger(tmp_path / "new.db"):
        pass
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")


def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    newer = len(STEPS) + 1
    with closing(sqlite3.connect(tmp_path / "task.db")) as db:
        db.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(
        LedgerError, match=f"schema {newer}, this version supports up to {len(STEPS)}; upgrade tutelage"
    ):
        Ledger(tmp_path / "task.db")
    with closing(sqlite3.connect(tmp_path / "task.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (newer,)
        assert db.execute("SELECT count(*) FROM records").fetchone() == (2,)


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "task.db")
    monkeypatch.setattr("tutelage.loaders.migrations.STEPS", (*STEPS, "CREATE TABLE extra (x) STRICT;\nNONSENSE;\n"))
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(tmp_path / "task.db")
    monkeypatch.undo()
    with Ledger(tmp_path / "task.db") as ledger:
        assert ledger.record_count == 2
    assert "extra" not in {name for name, _ in schema(tmp_path / "task.db")}


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "task.db").write_bytes(b"text,label\n" * 1000)
    with pytest.raises(LedgerError, match=r"task\.db: cannot be opened"):
        Ledger(tmp_path / "task.db")


def test_damage_in_a_name_is_one_message(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    content = (tmp_path / "task.db").read_bytes()
    (tmp_path / "task.db").write_bytes(content.replace(b"TABLE ranks", b"TABL\xff ranks"))
    with pytest.raises(LedgerError, match=r"task\.db: cannot be opened: it holds bytes that are no text\. Is it"):
        Ledger(tmp_path / "task.db")


def damage_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = CAST(X'435245415445FF' AS TEXT) WHERE name = 'ranks'")
        db.commit()
        db.execute("PRAGMA schema_version = 9999")


def test_damage_in_a_name_that_shows_only_while_writing_is_one_message(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    ledger = Ledger(tmp_path / "task.db")
    damage_schema(tmp_path / "task.db")
    with pytest.raises(LedgerError, match=r"task\.db: it holds bytes that are no text\. Is it damaged"), ledger:
        ledger.set_ranks([Rank("r1", 0.5, 1)])


@pytest.mark.parametrize("there", ["snapshots", "students", "gold.parquet", "pred_probs.parquet", "task.db-wal"])
def test_an_emptied_file_is_not_taken_for_a_new_one(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"x")
    (tmp_path / "task.db").touch()
    with pytest.raises(LedgerError, match=rf"task\.db: is empty, but {there} beside it say that it held records\. Put"):
        Ledger(tmp_path / "task.db")
    assert (tmp_path / "task.db").stat().st_size == 0
    assert (tmp_path / there).read_bytes() == b"x"


def test_a_file_that_a_killed_first_run_left_empty_is_filled(tmp_path: Path) -> None:
    (tmp_path / "task.db").touch()
    (tmp_path / "task.db-wal").touch()
    filled(tmp_path / "task.db")


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger(tmp_path / "gone" / "task.db")


# Several processes

_WRITER = """
import sys
from pathlib import Path
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.core.records import Record, Voter
path, voter = Path(sys.argv[1]), Voter(sys.argv[2], "p")
sys.stdin.readline()
with Ledger(path) as ledger:
    for batch in range(40):
        ids = [f"{batch}-{i}" for i in range(25)]
        records = [Record(i, i) for i in ids]
        ledger.add(records, [Answer(record_id=i, voter=voter, label_text="a", reason="") for i in ids])
"""


def test_processes_that_start_and_write_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "task.db")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    names = ["one", "two", "three"]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for name in names
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    ends = [writer.communicate(timeout=120) for writer in writers]
    assert [(writer.returncode, end[1]) for writer, end in zip(writers, ends, strict=True)] == [(0, b"")] * 3
    with Ledger(tmp_path / "task.db") as ledger:
        records = list(ledger.records(TASK))
    assert len(records) == 1000
    assert all(sorted(vote.voter.teacher for vote in record.votes) == sorted(names) for record in records)


def test_a_file_that_another_process_holds_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with (
        closing(sqlite3.connect(tmp_path / "task.db", isolation_level=None)) as other,
        Ledger(tmp_path / "task.db") as ledger,
    ):
        ledger._db.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="locked; what was committed before is kept, run it again"):
            ledger.add([Record("r3", "x")])
        other.execute("COMMIT")
        ledger.add([Record("r3", "x")])


def test_damage_that_shows_only_while_reading_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "task.db"
    with Ledger(path) as ledger:
        ledger.add([Record(f"r{n}", f"text {n} " * 50) for n in range(500)])
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 40_000)
    with (
        pytest.raises(LedgerError, match=r"task\.db: database disk image is malformed\. Is it damaged"),
        Ledger(path) as db,
    ):
        list(db.records(TASK))


# What Argilla was sent and what came back


def test_ranks_are_replaced_as_a_whole(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with Ledger(tmp_path / "task.db") as ledger:
        ledger.set_ranks([Rank("r1", 0.1, 1), Rank("r2", 0.2, 2)])
        ledger.set_ranks([Rank("r2", 0.3, 1)])
        assert ledger.ranks() == {"r2": Rank("r2", 0.3, 1)}


def test_what_was_pushed_is_known_by_dataset(tmp_path: Path) -> None:
    filled(tmp_path / "task.db")
    with Ledger(tmp_path / "task.db") as ledger:
        ledger.set_pushed("one", {"r1": ("x", "{}"), "r2": ("y", "{}")})
        ledger.set_pushed("two", {"r1": ("z", "{}")})
        ledger.set_pushed("one", {"r1": ("w", "{}")})
        ledger.forget_pushed("one", ["r2"])
        assert (ledger.pushed("one"), ledger.pushed("two")) == ({"r1": ("w", "{}")}, {"r1": ("z", "{}")})


def test_the_dataset_of_a_role_that_was_used_last_is_its_current_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "task.db") as ledger:
        assert (ledger.current_dataset("queue"), ledger.datasets("queue")) == (None, [])
        for dataset, role in [("one", "queue"), ("two", "queue"), ("file", "file"), ("one", "queue"), ("one", "queue")]:
            ledger.use_dataset(dataset, role)
        assert (ledger.current_dataset("queue"), ledger.datasets("queue")) == ("one", ["two", "one"])
        assert (ledger.current_dataset("file"), ledger.datasets("file")) == ("file", ["file"])


def test_datasets_of_an_earlier_version_are_queues_the_one_pushed_last_is_current(tmp_path: Path) -> None:
    at_version(tmp_path / "old.db", 3)
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.execute("INSERT INTO pushed VALUES ('a', 'r1', 'hash', '{}')")
        db.execute("UPDATE responses SET dataset = 'z'")
        db.commit()
    with Ledger(tmp_path / "old.db") as ledger:
        assert ledger.datasets("queue") == ["z", "d", "a"]


def test_responses_are_kept_by_dataset_record_and_user(tmp_path: Path) -> None:
    with Ledger(tmp_path / "task.db") as ledger:
        ledger.set_responses("one", [response("r1", "ann", "a"), response("r1", "bob", "b", 2)])
        ledger.set_responses("one", [response("r1", "ann", "b", 3)])
        ledger.set_responses("two", [response("r1", "ann", "a")])
        assert ledger.responses("one") == [response("r1", "bob", "b", 2), response("r1", "ann", "b", 3)]
        assert ledger.response_counts() == {"one": 2, "two": 1}
