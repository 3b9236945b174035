"""A text never becomes a second record unseen, and the last load can be undone."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread
from typing import Any

import pandas as pd
import pytest
from shop import Shop

from tutelage.core.errors import LedgerError
from tutelage.core.records import Deal, Progress, Rank, Record
from tutelage.core.workspace import Workspace
from tutelage.loaders import load as load_module
from tutelage.loaders.gold import read_gold
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.load import SuggestionChange
from tutelage.loaders.migrations import STEPS
from tutelage.project import Project

Rows = Sequence[Mapping[str, Any]]
TEXTS = [f"text {n}" for n in range(6)]
NAMED = [{"key": f"k{n}", "text": text, "vote": "positive"} for n, text in enumerate(TEXTS)]
UNNAMED = [{"text": f" text  {n}", "more": "negative"} for n in range(6)]


class Desk:
    """A task into which rows are loaded."""

    def __init__(self, workspace: Workspace) -> None:
        self.project = Project(workspace.root)
        self.workspace = workspace

    def load(self, rows: Rows, **options: Any) -> Any:
        return self.project.import_votes(pd.DataFrame(rows), **options)

    def records(self) -> list[Record]:
        with Ledger(self.workspace.db) as ledger:
            return list(ledger.records(self.workspace.task))

    def ids(self) -> list[str]:
        return [record.id for record in self.records()]

    def voted(self) -> dict[str, list[str]]:
        return {record.id: [vote.raw for vote in record.votes] for record in self.records()}


@pytest.fixture
def desk(make_task: Callable[..., Workspace]) -> Desk:
    return Desk(make_task())


# Known texts


def test_rows_without_ids_are_those_of_the_records_that_have_their_texts(desk: Desk) -> None:
    desk.load(NAMED, id="key", votes=["vote"])
    found = desk.load(UNNAMED, votes=["more"])
    assert (found.new, found.known, found.other_ids, found.answers) == (0, 6, 6, 6)
    assert desk.voted() == {f"k{n}": ["positive", "negative"] for n in range(6)}


def test_rows_with_new_ids_are_those_of_the_records_that_have_their_texts(desk: Desk) -> None:
    desk.load(UNNAMED, votes=["more"])
    before = desk.ids()
    for _ in range(2):
        found = desk.load(NAMED, id="key", votes=["vote"])
        assert (found.new, found.known, found.other_ids) == (0, 6, 6)
    assert desk.ids() == before
    assert set(map(tuple, desk.voted().values())) == {("negative", "positive")}


def test_an_id_under_which_a_text_was_known_stays_that_text(desk: Desk) -> None:
    desk.load([{"text": "a"}])
    desk.load([{"key": "1", "text": "a"}], id="key")
    found = desk.load([{"key": "1", "text": "b"}, {"key": "2", "text": "c"}], id="key")
    assert (found.new, found.rejected) == (1, 1)


def test_the_nth_row_of_a_text_is_its_nth_record(desk: Desk) -> None:
    desk.load([{"key": key, "text": "a", "v": key} for key in ("x", "y")], id="key", votes=["v"])
    rows = [{"text": "a", "w": str(n)} for n in range(3)]
    for new in (1, 0):
        found = desk.load(rows, votes=["w"])
        assert (found.new, found.known, found.other_ids) == (new, 3 - new, 2)
    assert [*desk.voted().values()] == [["x", "0"], ["y", "1"], ["2"]]


def test_a_task_that_an_earlier_version_doubled_gets_votes_where_it_got_them_before(desk: Desk) -> None:
    desk.load([{"text": "a"}])
    hashed = desk.ids()[0]
    with Ledger(desk.workspace.db) as ledger:
        ledger.add([Record("own", "a")])
    desk.load([{"text": "a", "v": "1"}, {"text": "a", "v": "2"}], votes=["v"])
    assert desk.voted() == {hashed: ["1"], "own": ["2"]}


def test_equal_texts_of_one_source_with_ids_stay_apart_wherever_they_are_added(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "_BATCH", 1)
    desk.load([{"key": "b", "text": "same"}, {"key": "c", "text": "same"}], id="key")
    found = desk.load([{"key": key, "text": "same"} for key in "abcd"], id="key")
    assert (found.new, found.known, found.other_ids) == (2, 2, 0)
    assert desk.ids() == ["b", "c", "a", "d"]


def test_an_id_twice_in_a_source_is_one_known_text(desk: Desk) -> None:
    desk.load([{"text": "a"}, {"text": "a"}])
    found = desk.load([{"key": "1", "text": "a"}] * 2 + [{"key": key, "text": "a"} for key in "23"], id="key")
    assert (found.new, found.known, found.other_ids) == (1, 3, 3)
    assert desk.ids()[2:] == ["3"]


@pytest.mark.parametrize("first", ["named", "unnamed"])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_load_that_was_killed_and_run_again_makes_the_same_records(
    make_task: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, first: str, killed_after: int
) -> None:
    monkeypatch.setattr(load_module, "_BATCH", 3)
    texts = ["a", "b", "a", "c", "a", "d", "b", "a"]
    known = [{"key": f"k{n}", "text": text} for n, text in enumerate(["a", "c", "b"])]
    rows = [{"key": f"n{n}", "text": text, "v": str(n)} for n, text in enumerate(texts)]
    options = [{"id": "key"}, {}] if first == "named" else [{}, {"id": "key"}]
    results = []
    for kill in (False, True):
        desk = Desk(make_task())
        desk.load(known, **options[0])
        if kill:
            left = [killed_after]

            def interrupt(_progress: Progress, left: list[int] = left) -> None:
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                Project(desk.workspace.root, progress=interrupt).import_votes(
                    pd.DataFrame(rows), votes=["v"], **options[1]
                )
            assert 0 < sum(map(len, desk.voted().values())) < len(rows)
        desk.load(rows, votes=["v"], **options[1])
        results.append(desk.voted())
    assert results[0] == results[1]
    assert sum(map(len, results[0].values())) == len(rows), "every row's vote is there, on one record"


def test_texts_of_an_earlier_version_are_recognised(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.workspace.db)) as db:
        for step in STEPS[:3]:
            db.executescript(step)
        db.execute("PRAGMA user_version = 3")
        db.execute("INSERT INTO records (id, text) VALUES ('old', ' a  b')")
        db.commit()
    assert desk.load([{"text": "a b"}]).other_ids == 1
    assert desk.ids() == ["old"]


def test_the_command_says_what_was_recognised(
    desk: Desk, tutelage: Callable[..., CompletedProcess[str]], write_csv: Callable[..., Path]
) -> None:
    here = ("--task", desk.workspace.root)
    tutelage("load", write_csv([{"text": text} for text in TEXTS], "plain.csv"), *here)
    said = tutelage("load", write_csv([{"key": str(n), "text": t} for n, t in enumerate(TEXTS)]), "--id", "key", *here)
    assert "0 new records, 6 known" in said.stdout
    assert "the texts of 6 rows are known under other ids than those in 'key'" in said.stdout
    assert len(desk.ids()) == 6


# Given labels


def test_given_labels_that_change_what_is_suggested_are_said(
    desk: Desk, tutelage: Callable[..., CompletedProcess[str]], write_csv: Callable[..., Path]
) -> None:
    desk.load(NAMED[:4], id="key", votes=["vote"])
    desk.load([{"key": "v", "text": "nobody voted"}], id="key")
    given = ["negative", "negative", "positive", "?"]
    rows = [{**row, "mine": label} for row, label in zip(NAMED, given, strict=False)]
    rows += [{"key": "v", "text": "nobody voted", "mine": "neutral"}, {"key": "n", "text": "new", "mine": "neutral"}]
    path = write_csv([{key: str(row[key]) for key in ("key", "text", "mine")} for row in rows])
    words = ("import", path, "--text", "text", "--id", "key", "--given", "mine", "--task", desk.workspace.root)
    said = tutelage(*words).stdout
    assert (
        "the given labels change what is suggested for 3 known records: 2 from positive to negative, 1 from none to"
    ) in said
    assert json.loads(tutelage(*words, "--json").stdout)["suggestions"] == []


def test_given_labels_of_new_records_change_nothing(desk: Desk) -> None:
    rows = [{"text": "a", "mine": "neutral", "v": "positive"}, {"text": "b", "mine": "neutral", "v": "positive"}]
    assert desk.load(rows[:1], given="mine", votes=["v"]).suggestions == ()
    desk.load(rows[1:], votes=["v"])
    again = desk.load(rows, given="mine", votes=["v"])
    assert again.suggestions == (SuggestionChange("positive", "neutral", 1),)


# Undo


def everything(workspace: Workspace) -> tuple[Any, ...]:
    with Ledger(workspace.db) as ledger:
        records, ranks = list(ledger.records(workspace.task)), ledger.ranks()
    gold = read_gold(workspace.gold) if workspace.gold.exists() else {}
    rejects = workspace.rejects.read_text() if workspace.rejects.exists() else ""
    return records, ranks, gold, rejects


def test_the_last_load_can_be_undone_and_so_can_the_one_before_it(desk: Desk) -> None:
    first = [{**row, "gold": "neutral"} for row in NAMED[:3]] + [{"key": "e", "text": "", "vote": "", "gold": "x"}]
    second = [
        {"key": row["key"], "text": row["text"], "w": "negative", "mine": "negative", "g": "positive"} for row in NAMED
    ]
    second += [{"key": "k0", "text": "another", "w": "", "mine": "", "g": "hidden"}]
    desk.load(first, id="key", votes=["vote"], gold="gold")
    before = everything(desk.workspace)
    desk.load(second, id="key", votes=["w"], given="mine", gold="g")
    after = everything(desk.workspace)
    undone = desk.project.undo_load()
    assert (undone.records, undone.votes, undone.given, undone.gold, undone.rejects) == (3, 6, 3, 6, 1)
    assert everything(desk.workspace) == before
    desk.load(second, id="key", votes=["w"], given="mine", gold="g")
    assert everything(desk.workspace) == after
    desk.project.undo_load()
    last = desk.project.undo_load()
    assert (last.records, last.votes, last.gold, last.rejects) == (3, 3, 3, 1)
    assert everything(desk.workspace) == ([], {}, {}, "")
    with pytest.raises(LedgerError, match="there is no load to undo"):
        desk.project.undo_load()


def test_after_an_undo_the_same_ids_may_have_other_texts(desk: Desk) -> None:
    rows = [{"key": "1", "text": "right", "other": "wrong"}]
    desk.load(rows, id="key", text="other")
    with Ledger(desk.workspace.db) as ledger:
        ledger.set_ranks([Rank("1", 0.5, 1)])
    desk.project.undo_load()
    assert (desk.load(rows, id="key").new, desk.records()[0].text) == (1, "right")
    assert desk.load([{"text": "wrong"}]).new == 1, "its text is not known any more"


def test_what_was_dealt_and_never_sent_goes_with_its_load(desk: Desk) -> None:
    """A rank that is killed, or refused by Argilla, between dealing and sending."""
    desk.load(NAMED[:2], id="key")
    desk.load(NAMED[2:], id="key")
    with Ledger(desk.workspace.db) as ledger:
        ledger.add_deal(Deal(("ann",), 0.0))
        ledger.set_dealt({"k0": ["ann"], "k3": ["ann"]})
    assert desk.project.undo_load().records == 4
    with Ledger(desk.workspace.db) as ledger:
        assert ledger.dealt() == {"k0": ("ann",)}


def test_ids_that_an_undone_load_brought_are_forgotten(desk: Desk) -> None:
    desk.load([{"text": "a"}])
    desk.load([{"key": "1", "text": "a"}], id="key")
    desk.project.undo_load()
    assert desk.load([{"key": "1", "text": "b"}], id="key").new == 1


def test_a_killed_load_and_its_second_run_are_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "_BATCH", 2)

    def interrupt(_progress: Progress) -> None:
        raise KeyboardInterrupt

    frame = pd.DataFrame(NAMED)
    with pytest.raises(KeyboardInterrupt):
        Project(desk.workspace.root, progress=interrupt).load(frame, id="key")
    assert len(desk.ids()) == 2
    desk.project.load(frame, id="key")
    assert desk.project.undo_load().records == 6
    assert desk.ids() == []


def test_what_was_undone_is_kept_and_nothing_else_can_be_deleted(desk: Desk) -> None:
    desk.load(NAMED[:2], id="key", votes=["vote"])
    desk.load(NAMED[2:], id="key", votes=["vote"])
    desk.project.undo_load()
    desk.load([{"key": "z", "text": "z", "vote": "negative"}], id="key", votes=["vote"])
    with closing(sqlite3.connect(desk.workspace.db)) as db:
        kept = db.execute("SELECT record, said FROM withdrawn_answers ORDER BY record").fetchall()
        assert kept == [(f"k{n}", "positive") for n in range(2, 6)]
        assert db.execute("SELECT count(*) FROM withdrawn_records").fetchone() == (4,)
        for left in ("answers", "answers WHERE record = 'z'", "withdrawn_answers"):
            with pytest.raises(sqlite3.Error, match="append-only"):
                db.execute(f"DELETE FROM {left}")


def test_a_load_that_added_nothing_is_undone_as_such(
    desk: Desk, tutelage: Callable[..., CompletedProcess[str]], write_csv: Callable[..., Path]
) -> None:
    path, here = write_csv([{"text": "a"}]), ("--task", desk.workspace.root)
    tutelage("load", path, *here)
    tutelage("load", path, *here)
    assert "taken back: nothing, it had added nothing" in tutelage("load", "--undo", *here).stdout
    assert "taken back: 1 records" in tutelage("load", "--undo", *here).stdout
    both = tutelage("load", path, "--undo", *here, ok=False)
    assert (both.returncode, "one of the two" in both.stderr) == (2, True)
    none = tutelage("load", "--undo", *here, ok=False)
    assert (none.returncode, len(none.stderr.splitlines())) == (1, 1)


def test_a_load_is_not_undone_while_it_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has added until then would go, and what it adds after that could never be undone."""
    monkeypatch.setattr(load_module, "_BATCH", 2)
    refused = list[str]()

    def undo(_progress: Progress) -> None:
        with pytest.raises(LedgerError, match="is loading; wait for it") as error:
            desk.project.undo_load()
        refused.append(str(error.value))

    Project(desk.workspace.root, progress=undo).load(pd.DataFrame(NAMED), id="key")
    assert len(refused) == 3
    assert len(desk.ids()) == 6
    assert desk.project.undo_load().records == 6


def test_a_second_load_waits_for_the_first(desk: Desk, write_csv: Callable[..., Path]) -> None:
    """Else one of the two would write gold.parquet without what the other has added, and equal texts twice."""
    rows, said = [{"key": f"k{n}", "text": f"text {n}", "gold": "positive"} for n in range(6)], list[str]()
    second = Project(desk.workspace.root, progress=lambda state: said.append(state.step))
    thread = Thread(target=second.load, args=[write_csv(rows)], kwargs={"gold": "gold"})

    def start(_progress: Progress) -> None:
        thread.start()
        while not said and thread.is_alive():
            time.sleep(0.01)

    Project(desk.workspace.root, progress=start).load(pd.DataFrame(rows[:3]), id="key", gold="gold")
    thread.join()
    assert said[0].startswith("waiting for another load (process ")
    assert desk.ids()[:3] == ["k0", "k1", "k2"]
    assert (len(desk.ids()), len(read_gold(desk.workspace.gold))) == (6, 6)


def test_it_is_not_undone_where_its_records_were_annotated(desk: Desk) -> None:
    from tutelage.core.records import Voter
    from tutelage.loaders.ledger import Answer

    desk.load(NAMED, id="key", votes=["vote"])
    with Ledger(desk.workspace.db) as ledger:
        ledger.add([], [Answer(record_id="k1", voter=Voter("llm", "p"), label_text="positive", reason="")])
    before = everything(desk.workspace)
    with pytest.raises(LedgerError, match=r"cannot be undone: 1 of its records were annotated since\. Put back"):
        desk.project.undo_load()
    assert everything(desk.workspace) == before


def test_it_is_not_undone_where_it_was_pushed_answered_or_pulled(shops: Callable[..., Shop]) -> None:
    shop = shops()
    desk = Desk(shop.workspace)
    desk.load(NAMED[:3], id="key", votes=["vote"])
    shop.push()
    desk.load(NAMED[3:], id="key", votes=["vote"])
    assert desk.project.undo_load().records == 3, "those were not pushed"
    with pytest.raises(LedgerError, match="3 of its records were pushed to Argilla since"):
        desk.project.undo_load()
    desk.load([{"key": "k0", "text": "text 0", "w": "negative"}], id="key", votes=["w"])
    assert desk.project.undo_load().votes == 1, "its record was pushed before it, its vote was not"
    desk.load([{"key": "k0", "text": "text 0", "w": "negative"}], id="key", votes=["w"])
    shop.push()
    with pytest.raises(LedgerError, match="1 of its records were pushed to Argilla since"):
        desk.project.undo_load()
    desk.load([{"key": "n", "text": "new"}], id="key")
    shop.pull()
    with pytest.raises(LedgerError, match=r"cannot be undone: snapshot \w+ was pulled since"):
        desk.project.undo_load()
    shop.push()
    shop.answer(shop.annotator(), "n", "positive")
    shop.pull()
    with pytest.raises(LedgerError, match="1 of its records were answered by people since"):
        desk.project.undo_load()


def test_it_is_not_undone_where_its_gold_was_measured_against(make_task: Callable[..., Workspace]) -> None:
    desk = Desk(make_task(holdout={"share": 0.5}))
    desk.load([{**row, "gold": "positive"} for row in NAMED], id="key", votes=["vote"], gold="gold")
    desk.project.compare_teachers()
    with pytest.raises(LedgerError, match="of its gold labels were measured against since"):
        desk.project.undo_load()
