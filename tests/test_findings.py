"""Why a suggestion is suspect, and near-duplicates that lie together: pure functions, then the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from shop import Shop

from tutelage.commands.cli import cli
from tutelage.core.records import Finding, Rank, Record, Response, Shown, Vote, Voter
from tutelage.core.workspace import Workspace
from tutelage.feedback.curate import Curated, curate
from tutelage.feedback.ranking.findings import Grounds, differing_labels, findings, reviewed_kinds, together
from tutelage.feedback.ranking.verdicts import verdicts_of
from tutelage.project import Project
from tutelage.steps.review.explaining import student_differs

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def item(name: str, *votes: str | None, given: str | None = None, answer: str | None = None) -> Curated:
    cast = tuple(Vote(voter=Voter("llm", "plain", n), raw=label or "hm", label=label) for n, label in enumerate(votes))
    said = [
        Response(
            record_id=name,
            user_id="u",
            annotator="ann",
            status="submitted",
            label=answer,
            reason="",
            updated_at=MOMENT,
        )
    ]
    (one,) = curate([Record(name, f"text {name}", given, cast)], {name: said} if answer else {}, {})
    return one


def words(one: Curated, **grounds: object) -> list[str]:
    return [found.words for found in findings(one, Grounds(**grounds))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("votes", "given", "said"),
    [
        (["a", "a", "a"], None, []),
        (["a", "a", "b"], None, ["votes split 2:1 (a:b)"]),
        (["a", "b", "c", "a"], None, ["votes split 2:1:1 (a:b:c)"]),
        (["a", None, "a"], None, ["1 of 3 votes abstained"]),
        ([None, None], None, ["2 of 2 votes abstained"]),
        (["b", "b", "a"], "a", ["votes split 2:1 (b:a)"]),
        (["b", "b", None], "a", ["2 of 2 votes say b", "1 of 3 votes abstained"]),
        (["b"], "a", ["the vote says b"]),
        ([], "a", []),
    ],
)
def test_what_the_votes_say_against_a_suggestion(votes: list[str | None], given: str | None, said: list[str]) -> None:
    assert words(item("r", *votes, given=given)) == said


def test_a_student_that_says_another_label_is_named_with_its_probability() -> None:
    probs = pd.DataFrame([[0.02, 0.97, 0.01], [0.9, 0.05, 0.05]], index=["r", "s"])
    student = student_differs([item("r", "a"), item("s", "a")], probs, ["a", "b", "c"])
    assert student.keys() == {"r"}
    assert words(item("r", "a"), student=student) == ["student says b at 0.97"]
    assert words(item("s", "a"), student=student) == []
    assert words(item("r"), student=student) == [], "nothing is suggested"


def of(items: Sequence[Curated], groups: Sequence[int], shown: dict[str, list[Shown]] | None = None) -> Grounds:
    return Grounds(
        duplicates=differing_labels(items, np.array(groups)),
        reviewed=reviewed_kinds(items, verdicts_of(items, shown or {})),
    )


def test_a_duplicate_with_another_label_is_named_whoever_gave_it_the_label() -> None:
    items = [item("r", "a"), item("s", "b"), item("t", "a", answer="c"), item("u", "a"), item("v", "b")]
    grounds = of(items, [0, 0, 0, 1, 2])
    said = [words(one, duplicates=grounds.duplicates) for one in items]
    assert said[0] == ["duplicate of s, which is b, and 1 more differ"]
    assert said[1] == ["duplicate of r, which is a, and 1 more differ"]
    assert said[3:] == [[], []]


def test_a_form_that_is_filled_in_many_times_is_no_duplicate() -> None:
    items = [item(f"r{n}", "ab"[n % 2]) for n in range(11)]
    assert not of(items, [0] * 11).duplicates
    assert of(items[:10], [0] * 10).duplicates


def test_what_people_corrected_counts_for_the_records_of_the_same_kind() -> None:
    """The same suggestion, and the same label with next most votes."""
    wrong = [item(f"w{n}", "a", "a", "b", answer="b") for n in range(6)]
    right = [item(f"k{n}", "a", "a", "b", answer="a") for n in range(3)]
    other = [item(f"o{n}", "a", "a", "c", answer="a") for n in range(5)]
    waits, calm = item("r", "a", "a", "b"), item("s", "a", "a", "c")
    grounds = of([*wrong, *right, *other, waits, calm], range(16))
    assert words(waits, reviewed=grounds.reviewed)[1:] == ["people corrected 6 of 9 like this one"]
    assert words(calm, reviewed=grounds.reviewed)[1:] == []
    few = of([*wrong[:2], waits], range(3))
    assert words(waits, reviewed=few.reviewed)[1:] == [], "two say nothing yet"


def test_a_correction_is_one_of_what_people_were_shown() -> None:
    """They saw b, and kept it; the votes that came later changed the suggestion only."""
    kept = [item(f"w{n}", "a", "a", "b", answer="b") for n in range(3)]
    saw = Shown(label="b", reason="", score=1.0, agent="llm", since=MOMENT)
    grounds = of(kept, range(3), {one.record.id: [saw] for one in kept})
    assert words(item("r", "a", "a", "b"), reviewed=grounds.reviewed)[1:] == []


def test_near_duplicates_with_different_labels_follow_the_most_suspect_one() -> None:
    items = [item("r0", "a"), item("r1", "b"), item("r2", "a"), item("r3", "b"), item("r4", "b"), item("r5", "b")]
    ranks = [Rank(f"r{n}", n / 10, place) for place, n in enumerate([5, 0, 1, 4, 3, 2], 1)]
    found = together(ranks, items, np.array([0, 1, 2, 0, 1, 1]))
    assert [rank.record_id for rank in found] == ["r5", "r0", "r3", "r1", "r4", "r2"]
    assert [rank.suspect_rank for rank in found] == [1, 2, 3, 4, 5, 6]
    assert {rank.record_id: rank.label_quality for rank in found} == {f"r{n}": n / 10 for n in range(6)}


def test_a_settled_duplicate_has_no_place() -> None:
    items = [item("r0", "a", answer="a"), item("r1", "b"), item("r2", "b")]
    ranks = [Rank("r2", 0.1, 1), Rank("r1", 0.2, 2)]
    assert together(ranks, items, np.array([0, 0, 1])) == ranks


def test_the_words_are_few_kinds() -> None:
    found = findings(item("r", "a", "b", "a", None), Grounds())
    assert found == (Finding("votes split", "votes split 2:1 (a:b)"), Finding("abstained", "1 of 4 votes abstained"))


def test_a_suggestion_that_most_votes_are_not_for_says_so() -> None:
    one = item("r", "a", "b", "b")
    assert one.suggestion
    weighed = replace(one, suggestion=replace(one.suggestion, label="a", outweighed=("b",)))
    assert "weighted and plain majority differ: as many votes or more say b" in words(weighed)


# On Argilla and in the commands


def test_argilla_can_be_asked_for_each_kind_also_on_a_dataset_of_an_earlier_version(shops: Callable[..., Shop]) -> None:
    shop = shops()
    shop.add(["positive", "positive", None], ["negative", "positive", "negative"], ["neutral", "neutral"])
    shop.push()
    shop.owner.call("DELETE", f"/metadata-properties/{shop.properties()['why']}")
    with shop.loop() as loop:
        pushed = loop.rank().pushed
    assert pushed
    assert pushed.rejected == {}
    kinds = {name: item["metadata"].get("why", []) for name, item in shop.on_server().items()}
    assert "abstained" in kinds["r0"]
    assert "votes split" in kinds["r1"]
    terms = shop.owner.call("GET", f"/metadata-properties/{shop.properties()['why']}/metrics")["values"]
    assert {"abstained", "votes split"} <= {term["term"] for term in terms}


def test_the_words_stand_in_show_in_suspects_and_in_the_file(
    make_task: Callable[..., Workspace], write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    texts = ["Profit rose to 3.5 million euros from 2.1 million a year ago", "The court case goes on"]
    rows = [
        {"id": "r0", "text": texts[0], "a": "positive", "b": "positive"},
        {"id": "r1", "text": texts[1], "a": "neutral", "b": "neutral"},
        {"id": "r2", "text": texts[0] + ".", "a": "negative", "b": "positive"},
        {"id": "r3", "text": texts[0] + "!", "a": "negative", "b": "negative"},
    ]
    project, out = Project(make_task().root), tmp_path / "ranked.csv"
    project.import_votes(write_csv(rows), id="id", votes=["a", "b"])
    task = ["--task", str(project.workspace.root)]
    assert CliRunner().invoke(cli, ["rank", "--no-push", "--out", str(out), *task]).exit_code == 0
    written = pd.read_csv(out, keep_default_na=False).set_index("id")
    assert "duplicate of " in written.loc["r3", "why"]
    assert "votes split 1:1 (" in written.loc["r2", "why"]
    places = sorted(written.loc[["r0", "r2", "r3"], "suspect_rank"])
    assert places[2] - places[0] == 2, "near-duplicates lie together"
    frame = project.suspects().set_index("id")
    assert {name: "; ".join(said) for name, said in frame["why"].items()} == written["why"].to_dict()
    shown = CliRunner().invoke(cli, ["show", "r3", *task]).output
    assert all(f"\n  {said}\n" in shown for said in project.show("r3").why)
    assert len(project.show("r3").why) > 0
    assert "votes spl" in CliRunner().invoke(cli, ["suspects", *task]).output
