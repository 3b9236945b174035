"""What a record looks like in Argilla."""

from __future__ import annotations

import html
import random
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tutelage.core.errors import SettingsError
from tutelage.core.records import Rank, Record, Vote, Voter
from tutelage.core.task import parse_task
from tutelage.feedback.argilla.payload import (
    Payload,
    guidelines_of,
    inert,
    payload_of,
    questions_of,
    settled_metadata,
)
from tutelage.loaders.consensus import suggest

TASK = parse_task("name: n\nlabels: [good, bad, so so]\nqueue: 10\n")


def vote(label: str | None, reason: str = "", raw: str | None = None, number: int = 1) -> Vote:
    return Vote(
        voter=Voter("ll@m", "plain", number), raw=raw if raw is not None else label or "?", label=label, reason=reason
    )


def record(*votes: Vote, given: str | None = None, text: str = "a text") -> Record:
    return Record("r", text, given, votes)


def payload(one: Record, rank: Rank | None = None) -> Payload:
    return payload_of(one, suggest(one), rank, TASK)


# Metadata


@pytest.mark.parametrize(
    ("rank", "metadata"),
    [
        (None, {}),
        (Rank("r", 0.123456, 1), {"suspect_rank": 1, "label_quality": 0.1235}),
        (Rank("r", 1.0, 10), {"suspect_rank": 10, "label_quality": 1.0}),
        (Rank("r", 0.5, 11), {"label_quality": 0.5}),
    ],
)
def test_the_suspect_rank_goes_to_the_queue_only(rank: Rank | None, metadata: dict[str, Any]) -> None:
    assert payload(record(vote("good")), rank).metadata == {"source": "teacher", "agreement": 1.0, **metadata}


def test_a_tie_is_marked() -> None:
    tied = payload(record(vote("good"), vote("bad"))).metadata
    assert tied == {"tie": "yes", "source": "teacher", "agreement": 0.5}


def test_what_made_the_suggestion_and_how_the_votes_agree_can_be_filtered_by() -> None:
    votes = [vote("good"), vote("bad", number=2), vote("good", number=3)]
    assert payload(record(*votes)).metadata == {"source": "teacher", "agreement": 0.6667}
    assert payload(record(*votes, given="bad")).metadata == {"source": "given", "agreement": 0.3333}
    assert payload(record(given="bad")).metadata == {"source": "given"}
    assert payload(record(vote(None))).metadata == payload(record()).metadata == {}


def test_whose_a_record_is_is_one_term_or_a_list_of_terms() -> None:
    def reviewer(*names: str) -> Any:
        return payload_of(record(), None, None, TASK, names).metadata.get("reviewer")

    assert (reviewer(), reviewer("anna"), reviewer("anna", "Änne_2-b")) == (None, "anna", ["anna", "Änne_2-b"])
    hard = ["a.b", "a-b", "a~b", "a b", "a,b", "a.b@c.org", "ge1.le2"]
    terms = [str(reviewer(name)) for name in hard]
    assert len(set(terms)) == len(hard)
    assert all(re.fullmatch(r"[\w-]+", term) for term in terms)


@pytest.mark.parametrize(
    ("sent", "new", "kept"),
    [
        (0.5, 0.5099, 0.5),
        (0.5, 0.4901, 0.5),
        (0.5, 0.51, 0.51),
        (0.05, 0.06, 0.06),
        (0.3, 0.29, 0.29),
        (1.0, 0.99, 0.99),
        (0.0, 0.0, 0.0),
    ],
)
def test_label_quality_is_sent_when_it_moved_by_a_hundredth(sent: float, new: float, kept: float) -> None:
    found = settled_metadata({"label_quality": new, "suspect_rank": 2}, {"label_quality": sent, "suspect_rank": 1})
    assert found == {"label_quality": kept, "suspect_rank": 2}


def test_label_quality_that_comes_or_goes_is_sent() -> None:
    assert settled_metadata({"label_quality": 0.5}, {}) == {"label_quality": 0.5}
    assert settled_metadata({}, {"label_quality": 0.5}) == {}


def test_small_moves_do_not_add_up_unseen() -> None:
    held = 0.5
    for quality in (0.504, 0.508, 0.512, 0.516, 0.52):
        held = settled_metadata({"label_quality": quality}, {"label_quality": held})["label_quality"]
        assert abs(held - quality) < 0.01


# Suggestions


def test_the_suggestion_carries_score_agent_and_the_best_reason_for_its_label() -> None:
    votes = [vote("bad", "it is bad"), vote("good", "it shines", number=2), vote("good", "it really shines", number=3)]
    assert payload(record(*votes)).suggestions == {
        "label": {"value": "good", "score": 2 / 3, "agent": "ll-m"},
        "reason": {"value": "it shines", "agent": "ll-m"},
    }


def test_a_given_label_is_explained_by_a_vote_for_it_only() -> None:
    votes = [vote("good", "it shines"), vote("bad", "it is dull", number=2)]
    given = payload(record(*votes, given="bad")).suggestions
    assert given["label"] == {"value": "bad", "score": 0.5, "agent": "given"}
    assert given["reason"]["value"] == "it is dull"
    assert payload(record(*votes, given="so so")).suggestions == {
        "label": {"value": "so so", "score": 0.0, "agent": "given"}
    }
    assert payload(record(given="bad")).suggestions == {"label": {"value": "bad", "agent": "given"}}


def test_nothing_is_suggested_where_there_is_no_label() -> None:
    abstained = payload(record(vote(None, "because", raw="who knows")))
    assert abstained.suggestions == {}
    assert payload(record()).fields == {"text": "a text", "votes": "record r"}


# Fields


def test_what_the_teacher_said() -> None:
    votes = [
        vote("good", "it\nshines"),
        vote("bad", "dull", number=2),
        vote("good", "it shines\n\n\nbright", number=3),
        vote(None, raw="who\nknows?", number=4),
        vote(None, raw=" ", number=5),
        vote("so so", number=6),
    ]
    assert payload(record(*votes)).fields["votes"] == (
        "good: 2 of 6\nit shines\n\nbad: 1 of 6\ndull\n\nso so: 1 of 6\n\nno label: 2 of 6\nsaid: who knows?, (empty)"
        "\n\nrecord r"
    )


def test_the_card_shows_the_records_id_as_it_is() -> None:
    odd = payload_of(Record("<b>7</b>\n&amp;", "t"), None, None, TASK).fields["votes"]
    assert Tags(odd).found == []
    assert html.unescape(odd) == "record <b>7</b> &amp;"


@pytest.mark.parametrize("votes", [(), (vote("good", "it shines"),)])
def test_without_its_id_a_record_is_as_earlier_versions_sent_it(votes: tuple[Vote, ...]) -> None:
    sent = payload(record(*votes)).without_id()
    fields = {"text": "a text"} | ({"votes": "good: 1 of 1\nit shines"} if votes else {})
    assert (sent.fields, sent.metadata) == (fields, payload(record(*votes)).metadata)


NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div><svg/onload=alert(1)>",
    "<!-- gone -->",
    "<?php ?>",
    "**bold** _it_ [link](javascript:alert(1)) `code` # head",
    "a < b && c > d, x<3, AT&T, R&D; <- 5 & 6",
    "&lt;b&gt; &#60;script&#62; &#x3c;b &#60b &copy 2020 &ampersand &lt",
    "{{ 7*7 }} ${x} <% x %>",
]


class Tags(HTMLParser):
    """Notes all that is not text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def _note(self, what: str, *_: Any) -> None:
        self.found.append(what)

    handle_starttag = handle_startendtag = handle_endtag = handle_comment = handle_decl = handle_pi = _note


@pytest.mark.parametrize("nasty", NASTY)
def test_text_and_reasons_are_shown_as_they_are_and_cannot_act(nasty: str) -> None:
    fields = payload(record(vote("good", nasty), vote(None, raw=nasty), text=nasty)).fields
    for value in fields.values():
        assert Tags(value).found == []
    assert html.unescape(fields["text"]) == nasty
    assert html.unescape(fields["votes"]).count(nasty) == 2


def test_the_parser_of_these_tests_sees_what_acts() -> None:
    assert [bool(Tags(nasty).found) for nasty in NASTY[:5]] == [True] * 5


def test_any_text_reads_the_same_after_it_was_made_inert() -> None:
    pieces = [*"<>&#;x3b /!?a=\"'\n-", "&lt", "&amp;", "script", "&#60", "copy", "é", "😀", "notin"]
    draw = random.Random(7)
    for _ in range(20_000):
        text = "".join(draw.choices(pieces, k=8))
        assert html.unescape(inert(text)) == text


@pytest.mark.parametrize("plain", ["a < b > c", "AT&T & co", "1<2", "x &y", "**a** _b_", "tab\there\n"])
def test_what_cannot_act_stays_to_the_letter(plain: str) -> None:
    assert inert(plain) == plain


# What changed


def test_the_content_changes_with_all_that_is_shown_and_not_with_metadata() -> None:
    base = payload(record(vote("good", "why")))
    assert base.content == payload(record(vote("good", "why")), Rank("r", 0.1, 1)).content
    others = [
        record(vote("good", "why"), text="other"),
        record(vote("good", "why not")),
        record(vote("bad", "why")),
        record(vote("good", "why"), given="good"),
        record(vote("good", "why"), vote("good", "why", number=2)),
    ]
    assert base.content not in {payload(other).content for other in others}


def test_the_guidelines_hold_definitions_and_examples_and_fit() -> None:
    task = parse_task(
        "name: n\nguidelines: Be kind.\nlabels: [{name: good, definition: all is well}, bad]\n"
        "examples: [{text: yay, label: good, reason: joy}]\n"
    )
    words = guidelines_of(task)
    for part in ("Be kind.", "- **good**: all is well", "- **bad**", "yay", "**good**. joy"):
        assert part in words
    with pytest.raises(SettingsError, match="shorten them in task"):
        guidelines_of(parse_task(f"name: n\nlabels: [a, b]\nguidelines: {'long ' * 5000}\n"))


def test_people_read_paragraphs_where_the_task_file_has_wrapped_lines() -> None:
    task = parse_task(
        "name: n\nquestion: |\n  Is it\n  good?\nguidelines: |\n  Read the whole\n  text.\n\n  - a list\n  - stays\n"
        "labels:\n  - name: good\n    definition: |\n      All is\n      well.\n\n      Even\n      so.\n  - bad\n"
        'examples:\n  - {text: "one\\n\\ntwo", label: good, reason: "joy\\nall over"}\n'
    )
    words = guidelines_of(task)
    assert words.startswith("Read the whole text.\n\n- a list\n- stays\n")
    assert "- **good**: All is well.\n\n  Even so.\n- **bad**" in words
    assert "- “one two”: **good**. joy all over" in words
    label = questions_of(task)["label"]
    assert label["title"] == "Is it good?"
    assert label["description"].startswith("good: All is well.\n\nEven so.\n\n")
