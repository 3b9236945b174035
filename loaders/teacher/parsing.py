"""Reads the label in an answer, strictly: a wrong label costs far more than an abstention, which people see first.

A label counts where the answer is the label, where it is the value of the label's own key in an object, or where it
stands alone after a marker: ``Label:``, bold, or a last line that is nothing else. All other answers are stored
unchanged and are abstentions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tutelage.core.task import Task
from tutelage.loaders.teacher.reading.lines import label_in, lines_of, with_tags_as_lines
from tutelage.loaders.teacher.reading.objects import Found, Unclear, labels_of, objects_in, own_key, whole_value
from tutelage.loaders.teacher.reading.spelling import LABEL_LENGTH, Spellings, spellings_of
from tutelage.loaders.teacher.reading.surroundings import asks_for_text, declines, is_meant, leaves_alone
from tutelage.loaders.teacher.reading.thoughts import first_turn, without_thoughts

PARSER = "2"
"""The version of what is read in an answer: answers that another one has read are read anew."""

_LONGEST = 4_000_000  # characters, with thoughts
_LONGEST_PROSE = 60_000  # characters that are no object, without thoughts
_LABEL_TEXT_MAX_LENGTH = 10_000
_WRAPPED = re.compile(r"^<([a-zA-Z_]{1,30})>(.*)</\1>$", re.DOTALL)
_WRAPPERS_MOST = 3
_FENCE = re.compile(r"^```[\w+-]{0,20}\s*\n(.*?)\n?```$", re.DOTALL)
_BULLET = re.compile(r"^[-*•] (?=[^\d\s])")
_CUT = {"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "incomplete"}
_STOPPED = {"content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content"}
_FAILED = {"context_overflow", "too_large", "bad_request", "error", "cancelled", "abort", "aborted", "timeout"}
_INCOMPLETE = _CUT | _STOPPED | _FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedAnswer:
    """The label as an answer words it, the reason, and the rung that found them."""

    label_text: str
    reason: str
    rung: str


def parse_answer(raw: str, task: Task, *, finish: str = "stop") -> ParsedAnswer:
    """Read the label in one raw answer.

    Parameters
    ----------
    finish
        Why the answer ended, as the endpoint says; one that was cut off or refused names no label.
    """
    if finish.casefold() in _INCOMPLETE:
        return ParsedAnswer(label_text="", reason="", rung="cut" if finish.casefold() in _CUT else finish)
    try:
        rung, found = _read(raw, task)
    except Unclear:
        rung, found = "unclear", None
    if found and found.label:
        label_text = found.words if task.read_label(found.words) == found.label else found.label
        return ParsedAnswer(label_text=label_text, reason=found.reason, rung=rung)
    words = (found.words if found else raw.strip())[:_LABEL_TEXT_MAX_LENGTH]
    label_text = "" if task.read_label(words) else words
    return ParsedAnswer(label_text=label_text, reason=found.reason if found else "", rung=rung if found else "none")


def _read(raw: str, task: Task) -> tuple[str, Found | None]:
    """The rung and what it found."""
    spellings, names = spellings_of(task.labels), _names(task)
    raw = raw[: _LONGEST + 1].strip()
    if raw[:1] in {"{", "["} and (found := labels_of(whole_value(raw), spellings, names)):
        return "json", found[0]
    answer = without_thoughts(raw) if len(raw) <= _LONGEST else None
    if answer is None:
        raise Unclear
    return _read_answer(first_turn(answer[: _LONGEST_PROSE * 2]).strip(), len(answer), spellings, names)


def _names(task: Task) -> frozenset[str]:
    """Words of the task's name: a key that is called so is the label's own."""
    return frozenset(word for word in re.findall(r"[^\W\d_]+", task.name.casefold()) if len(word) > 3)


def _read_answer(answer: str, length: int, spellings: Spellings, names: frozenset[str]) -> tuple[str, Found | None]:
    """The rungs, from the strictest, of which the first match wins."""
    answer = _unwrapped(answer, names)
    if label := _is_label(answer, spellings):
        return "label", Found(label=label, words=answer)
    if length > _LONGEST_PROSE:
        raise Unclear
    if answer.startswith('"') and answer.endswith("}") and "{" not in answer:
        answer = f"{{{answer}"  # the opening brace stood in the prompt
    if asks_for_text(answer) or answer.count("{") > answer.count("}"):
        raise Unclear
    if found := _from_objects(answer, spellings, names):
        return "json", found
    found = label_in(lines_of(with_tags_as_lines(answer), spellings, names), spellings)
    return "marked", found


def _is_label(answer: str, spellings: Spellings) -> str | None:
    if len(answer) > LABEL_LENGTH:
        return None
    return spellings.label(answer) or spellings.label(_BULLET.sub("", answer))


def _unwrapped(answer: str, names: frozenset[str]) -> str:
    """What stands in a code fence, or in the tag of an answer, around the whole answer."""
    for _ in range(_WRAPPERS_MOST):
        if len(answer) > _LONGEST_PROSE:
            return answer
        fence, tag = _FENCE.match(answer), _WRAPPED.match(answer)
        if fence and "```" not in fence.group(1):
            answer = fence.group(1).strip()
        elif tag and own_key(tag.group(1), names) and f"<{tag.group(1)}>" not in tag.group(2):
            answer = tag.group(2).strip()
        else:
            return answer
    return answer


def _from_objects(answer: str, spellings: Spellings, names: frozenset[str]) -> Found | None:
    """From the objects in the answer, which must agree, and from what stands around them."""
    found: list[Found] = []
    around: list[str] = []
    at = 0
    for start, end, value in objects_in(answer):
        if own := labels_of(value, spellings, names):
            before = _without_fence(answer[at:start])
            if not is_meant(before) or declines(before):
                raise Unclear
            found += own
        around.append(answer[at:start])
        at = end
    if not found:
        return None
    if len({one.label for one in found}) > 1:
        raise Unclear
    if found[0].label and not _stands(found[0].label, [*around[1:], answer[at:]], spellings):
        raise Unclear
    return found[0]


def _without_fence(text: str) -> str:
    return re.sub(r"```[\w+-]{0,20}\s*$|[\[(`\s]+$", "", text)


def _stands(label: str, after: list[str], spellings: Spellings) -> bool:
    lines = [line for part in after for line in part.replace("```", "\n").split("\n")]
    return leaves_alone([line for line in lines if line.strip()], label, spellings)
