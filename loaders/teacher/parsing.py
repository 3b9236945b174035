"""Parses raw answers: a ladder of rungs, from strict to lenient, that never guesses.

An answer that names no label, or several, is stored unchanged; it names no label of the task and is
an abstention.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tutelage.core.task import Task

_LABEL_KEYS = ("label", "labels", "answer")
_REASON_KEYS = ("reason", "reasoning", "explanation", "rationale")
_LAST_LINE_WORDS = 12
_LABEL_TEXT_MAX_LENGTH = 10_000
_OBJECTS_TRIED = 50

_THOUGHTS = re.compile(r"^.*?</think>", re.DOTALL)
_NAMED = re.compile(r"[\"'*_`]*\b(?:final\s+)?(?:label|answer)\b[\"'*_`]*\s*(?:is\b:?|[:=])\s*(.+)", re.IGNORECASE)
_NEGATED = re.compile(
    r"(?:\b(?:not|no|never|neither|nor|rather than|instead of)|n't)\s+(?:\w+\s+){0,2}[\"'*`]*$", re.IGNORECASE
)
_REASON = re.compile(
    r"\breason(?:ing)?\b[\"'*_`]*\s*[:=]\s*(.+?)(?:[\"'`]?\s*,\s*[\"'`]label\b|$)", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """The label as an answer words it, the reason, and the rung that found them."""

    label_text: str
    reason: str
    rung: str


class _Ambiguous(Exception):  # noqa: N818 - ends the ladder, never leaves this file
    """The answer names more than one label."""


def parse_answer(raw: str, task: Task) -> ParsedAnswer:
    """Parse one raw answer.

    The rungs, of which the first match wins: the whole answer is a label; it is JSON; it contains
    JSON, or a Python literal, in prose or code fences; "Label: x" in words; a short last line that
    names exactly one label. Objects or lines that name different labels end the ladder.
    """
    answer = _THOUGHTS.sub("", raw, count=1).strip()
    if task.read_label(answer):
        return ParsedAnswer(label_text=answer, reason="", rung="label")
    try:
        parsed = _from_objects(answer, task) or _from_naming(answer, task) or _from_last_line(answer, task)
    except _Ambiguous:
        parsed = None
    return parsed or ParsedAnswer(label_text=answer[:_LABEL_TEXT_MAX_LENGTH], reason="", rung="none")


def _from_objects(answer: str, task: Task) -> ParsedAnswer | None:
    """From the JSON objects or Python dicts in the answer; they must agree on the label."""
    parsed = [one for value in _objects(answer) if (one := _from_object(value, task))]
    if len({task.read_label(one.label_text) or one.label_text for one in parsed}) > 1:
        raise _Ambiguous
    return parsed[0] if parsed else None


def _objects(answer: str) -> Iterator[dict[str, Any]]:
    """The outermost objects, from left to right; an answer that is one long broken object yields nothing."""
    decoder, at = json.JSONDecoder(strict=False), answer.find("{")
    for _ in range(_OBJECTS_TRIED):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(answer, at)
        except (ValueError, RecursionError):
            value, end = _literal(answer, at)
        if isinstance(value, dict):
            yield value
        at = answer.find("{", max(end, at + 1))


def _literal(answer: str, at: int) -> tuple[Any, int]:
    """A Python dict at this place, up to the first or the last closing brace."""
    for end in dict.fromkeys((answer.find("}", at) + 1, answer.rfind("}") + 1)):
        try:
            with warnings.catch_warnings(action="ignore"):  # about invalid escapes in an answer
                return ast.literal_eval(answer[at:end]), end
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None, at


def _from_object(value: dict[str, Any], task: Task) -> ParsedAnswer | None:
    keys = {str(key).strip().casefold(): item for key, item in value.items()}
    reason = next((_text(keys[key]) for key in _REASON_KEYS if key in keys), "")
    for key in _LABEL_KEYS:
        if key in keys:
            return ParsedAnswer(label_text=_label_text(keys[key]), reason=reason, rung="json")
    named = {label for key, item in keys.items() if key not in _REASON_KEYS if (label := task.read_label(_text(item)))}
    if len(named) > 1:
        raise _Ambiguous
    return ParsedAnswer(label_text=named.pop(), reason=reason, rung="json") if named else None


def _label_text(value: Any) -> str:
    """The label's text; a list of one counts as that one, anything else is kept as JSON."""
    return _text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _from_naming(answer: str, task: Task) -> ParsedAnswer | None:
    """From "Label: x" or "the answer is x"; every such line must name the same label."""
    named = [_head(match.group(1), task) for match in _NAMED.finditer(answer)]
    labels = {label for label in named if label}
    if len(labels) > 1:
        raise _Ambiguous
    if not labels:
        return None
    return ParsedAnswer(label_text=labels.pop(), reason=_reason_beside(answer), rung="named")


def _head(rest: str, task: Task) -> str | None:
    """The label that the rest of a line begins with, cut at punctuation; ambiguous if another one follows."""
    cuts = [
        rest,
        *(rest[: match.start()] for match in re.finditer(r"[\"'*`]?\s*[.,;:!()}\]\n]|\s[-\u2013\u2014]\s", rest)),
    ]
    label = next((label for cut in cuts if (label := task.read_label(cut.strip().lstrip("\"'*`_").strip()))), None)
    if label and _labels_in(rest, task) - {label}:
        raise _Ambiguous
    return label


def _reason_beside(answer: str) -> str:
    """The text after "Reason:" in the same answer."""
    match = _REASON.search(answer)
    return match.group(1).strip().strip("\"'*`,{}").strip() if match else ""


def _from_last_line(answer: str, task: Task) -> ParsedAnswer | None:
    """From a last line of a few words that names one label and does not negate it."""
    line = answer.rsplit("\n", 1)[-1].strip()
    if len(line.split()) > _LAST_LINE_WORDS:
        return None
    named = _labels_in(line, task)
    if len(named) > 1:
        raise _Ambiguous
    return ParsedAnswer(label_text=named.pop(), reason="", rung="prose") if named else None


def _labels_in(text: str, task: Task) -> set[str]:
    """The labels whose names or aliases occur in the text as whole words, without a negation."""
    labels: set[str] = set()
    for match in _spellings(task).finditer(text):
        label = task.read_label(match.group())
        if label and not _NEGATED.search(text[: match.start()]):
            labels.add(label)
    return labels


@lru_cache(maxsize=8)
def _spellings_of(spellings: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(spellings, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


def _spellings(task: Task) -> re.Pattern[str]:
    return _spellings_of(tuple(spelling for label in task.labels for spelling in (label.name, *label.aliases)))
