"""What a record looks like in Argilla: the names of the dataset's parts, and what is put into them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html.entities import html5
from typing import Any

from tutelage.core.errors import SettingsError
from tutelage.core.formats.paragraphs import unwrapped
from tutelage.core.records import Rank, Record, Shown, Suggestion, Vote
from tutelage.core.task import Example, Task
from tutelage.feedback.curate import source_of
from tutelage.loaders.consensus import agent_of, best_reason, shown

TEXT, VOTES = "text", "votes"
LABEL, REASON = "label", "reason"
SUSPECT_RANK, LABEL_QUALITY, TIE = "suspect_rank", "label_quality", "tie"
FIELD_TITLES = {TEXT: "Text", VOTES: "What the teacher said, and the record's id"}
AGREEMENT, SOURCE, REVIEWER, WHY = "agreement", "source", "reviewer", "why"
PROPERTIES = {
    SUSPECT_RANK: ("Suspect rank", "integer"),
    LABEL_QUALITY: ("Label quality", "float"),
    AGREEMENT: ("Agreement of the votes", "float"),
    TIE: ("Tie", "terms"),
    SOURCE: ("Source of the suggestion", "terms"),
    REVIEWER: ("Reviewer", "terms"),
    WHY: ("Why it is suspect", "terms"),
}
"""The metadata that a record may have: the title that people read, and Argilla's kind of value."""
_OF_THE_QUEUE = {SUSPECT_RANK, LABEL_QUALITY, WHY, REVIEWER}

QUALITY_STEP = 0.01
GUIDELINES_MAX_LENGTH = 10_000
DESCRIPTION_MAX_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Payload:
    """What Argilla is to hold of a record. Never a response: those belong to people."""

    id: str
    fields: Mapping[str, str]
    suggestions: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, Any]

    @property
    def content(self) -> str:
        """A hash of all but the metadata."""
        content = json.dumps([self.fields, self.suggestions], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def without_id(self) -> Payload:
        """The same as earlier versions sent it: they did not show the record's id."""
        said = self.fields[VOTES].removesuffix(_id_line(self.id)).rstrip("\n")
        others = {name: value for name, value in self.fields.items() if name != VOTES}
        return replace(self, fields=others | ({VOTES: said} if said else {}))

    def shown(self, since: datetime) -> Shown:
        """What people see as suggestion from a moment on."""
        label, reason = self.suggestions.get(LABEL, {}), self.suggestions.get(REASON, {})
        return Shown(
            label=label.get("value"),
            reason=reason.get("value", ""),
            score=label.get("score"),
            agent=label.get("agent", ""),
            since=since,
        )


def payload_of(
    record: Record, suggestion: Suggestion | None, rank: Rank | None, task: Task, reviewers: Sequence[str] = ()
) -> Payload:
    """What people are to see of a record.

    Parameters
    ----------
    suggestion, rank
        Only where the record has one.
    reviewers
        The names of those whose the record is, where the queue is dealt.
    """
    reasons = _reasons(record.votes)
    said = [inert(votes_shown(record.votes, reasons))] if record.votes else []
    said += [inert(words)] if (words := outweighed_words(suggestion)) else []
    fields = {TEXT: inert(record.text), VOTES: "\n\n".join([*said, _id_line(record.id)])}
    metadata = _about(suggestion) | _place(rank, task) | _dealt_to(reviewers)
    return Payload(record.id, fields, _suggestions(record, suggestion, reasons), metadata)


def outweighed_words(suggestion: Suggestion | None) -> str:
    """That the suggestion is not what most votes say, and why; empty where it is."""
    if suggestion is None or not suggestion.outweighed:
        return ""
    others = " and ".join(_one_line(label) for label in suggestion.outweighed)
    return (
        f"Suggested is {_one_line(suggestion.label)}, though {others} has as many votes or more: "
        "the votes for it come from voters who agree more with all others."
    )


def _id_line(record_id: str) -> str:
    """The record's own id, which people who talk about a record can read and search for."""
    return inert(f"record {_one_line(record_id)}")


def _reasons(votes: Sequence[Vote]) -> dict[str, str]:
    """The best reason for each label that was voted."""
    labels = dict.fromkeys(vote.label for vote in votes if vote.label is not None)
    return {label: best_reason(votes, label) for label in labels}


def _suggestions(
    record: Record, suggestion: Suggestion | None, reasons: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    suggestion = shown(suggestion)
    if suggestion is None:
        return {}
    label: dict[str, Any] = {"value": suggestion.label, "agent": suggestion.agent}
    if suggestion.score is not None:
        label["score"] = suggestion.score
    reason = reasons.get(suggestion.label)
    return {LABEL: label} | ({REASON: {"value": reason, "agent": agent_of(record.votes)}} if reason else {})


def _about(suggestion: Suggestion | None) -> dict[str, Any]:
    """How the suggestion came about."""
    if suggestion is None:
        return {}
    agreement = {} if suggestion.score is None else {AGREEMENT: round(float(suggestion.score), 4)}
    return {SOURCE: source_of(suggestion)} | agreement | ({TIE: "yes"} if suggestion.tie else {})


def moved(sent: Mapping[str, Any], rank: Rank | None, task: Task, reviewers: Sequence[str]) -> dict[str, Any]:
    """The metadata that was sent, with another place in the queue."""
    stays = {name: value for name, value in sent.items() if name not in _OF_THE_QUEUE}
    return stays | _place(rank, task) | _dealt_to(reviewers)


def _place(rank: Rank | None, task: Task) -> dict[str, Any]:
    if rank is None:
        return {}
    queued = {SUSPECT_RANK: rank.suspect_rank} if rank.suspect_rank <= task.queue else {}
    return {LABEL_QUALITY: round(rank.label_quality, 4)} | queued | _terms(WHY, [one.kind for one in rank.why])


def _dealt_to(reviewers: Sequence[str]) -> dict[str, Any]:
    return _terms(REVIEWER, [reviewer_term(name) for name in reviewers])


def _terms(name: str, terms: Sequence[str]) -> dict[str, Any]:
    return {name: [*terms] if len(terms) > 1 else terms[0]} if terms else {}


def reviewer_term(name: str) -> str:
    """The name as a link can hold it: the page takes a value apart at ``.`` and ``~``.

    What is replaced is told apart by the end: ``a.b`` and ``a-b`` are two people.
    """
    term = re.sub(r"[^\w-]", "-", name)
    return term if term == name else f"{term}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def settled_metadata(new: Mapping[str, Any], sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata to hold: a label quality that moved by less than 0.01 stays as it was sent."""
    if LABEL_QUALITY not in new or LABEL_QUALITY not in sent:
        return new
    moved = round(abs(new[LABEL_QUALITY] - sent[LABEL_QUALITY]), 4)
    return new if moved >= QUALITY_STEP else {**new, LABEL_QUALITY: sent[LABEL_QUALITY]}


_UNCLOSED = "|".join(name for name in html5 if not name.endswith(";"))  # such as &copy: entities without a ';'
_ACTS = re.compile(rf"<(?=[a-zA-Z/!?])|&(?=#[0-9xX]|\w+;|{_UNCLOSED})")


def inert(text: str) -> str:
    """The text so that Argilla's page, which renders fields as HTML, shows it as it is.

    Only what HTML would read as a tag or an entity is escaped: all other texts stay to the letter.
    """
    return _ACTS.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)


def votes_shown(votes: Sequence[Vote], reasons: Mapping[str, str]) -> str:
    """What the teacher said, as plain text: the count of each label and the best reason for it."""
    return "\n\n".join(_label_lines(votes, reasons))


def _label_lines(votes: Sequence[Vote], reasons: Mapping[str, str]) -> Iterator[str]:
    counts = Counter(vote.label for vote in votes if vote.label is not None)
    for label, count in counts.most_common():
        yield f"{label}: {count} of {len(votes)}" + (f"\n{_one_line(reasons[label])}" if reasons[label] else "")
    abstentions = [_one_line(vote.raw) or "(empty)" for vote in votes if vote.label is None]
    if abstentions:
        yield f"no label: {len(abstentions)} of {len(votes)}\nsaid: {', '.join(dict.fromkeys(abstentions))}"


def _one_line(words: str) -> str:
    return re.sub(r"\s+", " ", words).strip()


def questions_of(task: Task) -> dict[str, dict[str, str]]:
    """What stands above each question on the card: its title, and a description with what deciding needs."""
    keys = "Enter submits the chosen label, a digit chooses (that of the chosen one takes it back), Backspace discards."
    definitions = [f"{label.name}: {unwrapped(label.definition.strip())}" for label in task.labels if label.definition]
    return {
        LABEL: {
            "title": _one_line(task.question) or "Which label fits the text?",
            "description": _fitting([*definitions, keys]),
        },
        REASON: {
            "title": "Reason (the teacher's; correct it where it is wrong)",
            "description": "What you leave as it is counts as the teacher's reason, not as yours.",
        },
    }


def _fitting(lines: Sequence[str]) -> str:
    """The lines, or where Argilla does not take so much the last one and a word on where the others are."""
    whole = "\n\n".join(lines)
    return (
        whole if len(whole) <= DESCRIPTION_MAX_LENGTH else f"The labels are defined in the guidelines.\n\n{lines[-1]}"
    )


def guidelines_of(task: Task) -> str:
    """The guidelines that annotators read, as Markdown: how to answer, the labels, the examples.

    The page breaks the line wherever the text does, so a paragraph is one line.
    """
    parts = [unwrapped(task.guidelines).strip() or f"Choose the label that fits the text ({task.name})."]
    parts += ["## Labels\n" + "\n".join(_label_item(label.name, label.definition) for label in task.labels)]
    if task.examples:
        parts += ["## Examples\n" + "\n".join(map(_example_item, task.examples))]
    guidelines = inert("\n\n".join(parts))  # the page would run its HTML
    if len(guidelines) > GUIDELINES_MAX_LENGTH:
        raise SettingsError(
            f"guidelines, labels and examples are {len(guidelines)} characters together; Argilla takes "
            f"{GUIDELINES_MAX_LENGTH}: shorten them in task.yaml"
        )
    return guidelines


def _label_item(name: str, definition: str) -> str:
    return _item(f"**{name}**" + (f": {unwrapped(definition.strip())}" if definition else ""))


def _example_item(example: Example) -> str:
    reason = f". {unwrapped(example.reason.strip())}" if example.reason else ""
    return _item(f"“{_one_line(example.text)}”: **{example.label}**{reason}")


def _item(text: str) -> str:
    """A list item; further paragraphs belong to it."""
    return "- " + re.sub(r"\n(?=[^\n])", "\n  ", text)
