"""From people's responses to the label that a record is trained on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tutelage.core.records import Rank, Record, Response, Vote, Voter
from tutelage.feedback.curate import curate, is_settled, resolve, with_reason_source

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def answer(label: str | None = "a", user: str = "ann", status: Any = "submitted", **more: Any) -> Response:
    return Response(
        record_id="r", user_id=user, annotator=user, status=status, label=label, reason="", updated_at=NOW, **more
    )


def record(*labels: str, given: str | None = None) -> Record:
    return Record(
        "r", "text", given, tuple(Vote(voter=Voter("t", "p", i), raw=la, label=la) for i, la in enumerate(labels))
    )


@pytest.mark.parametrize(
    ("label", "reason", "expected"),
    [
        ("a", "because a", ("because a", "teacher")),
        ("a", " because\n a ", (" because\n a ", "teacher")),
        ("b", "because a", ("", "")),
        (None, "because a", ("", "")),
        ("b", "because b", ("because b", "teacher")),
        ("a", "both", ("both", "teacher")),
        ("b", "both", ("both", "teacher")),
        ("a", "because I say so", ("because I say so", "annotator")),
        ("a", "", ("", "")),
    ],
)
def test_a_reason_is_a_persons_only_where_they_wrote_it(
    label: str | None, reason: str, expected: tuple[str, str]
) -> None:
    reasons = [("a", "because a"), ("b", "because b"), ("a", "both"), ("b", "both"), (None, ""), ("a", "")]
    votes = [Vote(voter=Voter("t", "p", i), raw="", label=la, reason=why) for i, (la, why) in enumerate(reasons)]
    found = with_reason_source(replace(answer(label), reason=reason), votes)
    assert (found.reason, found.reason_by) == expected


DISCARD = answer(None, "dan", "discarded")


@pytest.mark.parametrize(
    ("responses", "status", "label"),
    [
        ([], "pending", None),
        ([answer("a")], "reviewed", "a"),
        ([answer("a", status="draft")], "pending", None),
        ([answer("a"), answer("b", "bob", "draft"), answer("b", "cat", "draft")], "reviewed", "a"),
        ([answer("a"), answer("b", "bob")], "tied", None),
        ([answer("b"), answer("b", "bob"), answer("a", "cat")], "reviewed", "b"),
        ([answer("a"), answer("b", "bob"), answer("c", "cat"), answer("b", "eve")], "reviewed", "b"),
        ([DISCARD], "discarded", None),
        ([DISCARD, answer("a")], "tied", None),
        ([DISCARD, answer("a"), answer("a", "bob")], "reviewed", "a"),
        ([DISCARD, answer("b", "bob", "discarded"), answer("a")], "discarded", None),
        ([answer("a", state="withdrawn")], "pending", None),
        ([answer("a", state="withdrawn"), answer("b", "bob")], "reviewed", "b"),
        ([answer("a", state="user-deleted")], "reviewed", "a"),
        ([answer("a", state="user-deleted", status="draft")], "pending", None),
        ([answer("a", state="user-deleted"), answer("b", "bob")], "tied", None),
        ([answer(None)], "pending", None),
    ],
)
def test_what_people_made_of_a_record(responses: list[Response], status: str, label: str | None) -> None:
    assert resolve(responses) == (status, label)
    assert resolve(responses[::-1]) == (status, label), "the order of the answers decides nothing"


@pytest.mark.parametrize(
    ("rec", "responses", "source", "label"),
    [
        (record("a", "a", "b"), [], "teacher", "a"),
        (record("a", given="b"), [], "given", "b"),
        (record(), [], "teacher", None),
        (record("a"), [answer("b")], "human", "b"),
        (record(), [answer("b")], "human", "b"),
        (record("a", given="b"), [DISCARD], "human", None),
        (record("a"), [answer("a"), answer("b", "bob")], "human", None),
        (record("a"), [answer("b", status="draft")], "teacher", "a"),
    ],
)
def test_the_label_to_train_on_and_where_it_is_from(
    rec: Record, responses: list[Response], source: str, label: str | None
) -> None:
    (item,) = curate([rec], {"r": responses}, {"r": Rank("r", 0.5, 3)})
    assert (item.source, item.label) == (source, label)
    assert item.responses == tuple(responses)
    assert item.rank == Rank("r", 0.5, 3)


def test_records_keep_their_order_and_their_own_answers() -> None:
    records = [Record(i, i) for i in ("z", "a", "m")]
    curated = curate(records, {"a": [answer("b")], "gone": [answer("c")]}, {})
    assert [(item.record.id, item.label) for item in curated] == [("z", None), ("a", "b"), ("m", None)]


@pytest.mark.parametrize(
    ("responses", "minimum", "settled"),
    [
        ([], 1, False),
        ([answer()], 1, True),
        ([answer()], 2, False),
        ([answer(), answer(user="bob")], 2, True),
        ([answer(), answer("b", "bob")], 2, True),
        ([answer(status="draft")], 1, False),
        ([answer(state="withdrawn")], 1, False),
        ([answer(state="user-deleted")], 1, True),
        ([DISCARD], 3, True),
        ([DISCARD, answer()], 2, False),
    ],
)
def test_when_nobody_has_to_look_again(responses: list[Response], minimum: int, settled: bool) -> None:  # noqa: FBT001  # a column of the table
    assert is_settled(responses, minimum) is settled
