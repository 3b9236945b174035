"""What stands around a label, and whether it leaves the label as it is: what introduces it, and what follows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tutelage.loaders.teacher.reading.spelling import Spellings, words_of
from tutelage.loaders.teacher.reading.wordings import (
    ASIDES,
    DECLINED,
    DOUBTED,
    INTRODUCTIONS,
    NO_TEXT,
    NOT_MEANT,
    REASONS,
    RULED_OUT,
    TAKEN_BACK,
)

_LONGEST_AFTER = 4000
_SENTENCE_END = re.compile(r"[.!。।۔)][\"'*_`”»」)]{0,4}$")  # noqa: RUF001
_SENTENCES = re.compile(r"[.!?。！？।]\s*")  # noqa: RUF001
_ASIDE = re.compile(r"^[\s>*_#-]{0,8}([^\W\d_][\w ]{0,30}?)[*_`]{0,3}\s{0,4}(?:[:：]|$)")  # noqa: RUF001
_STOPS = re.compile(
    r"(?:^|[.!?…:;\n(—-]\s*)(?:oh |but |no |hmm )?(?:wait|moment|halt|stop|hold on|edit)\b", re.IGNORECASE
)
_YET = re.compile(
    r"(?:^|[.!?:\n(]\s*)[*_>\s]{0,6}(?:but|however|though|although|that said|then again|still|yet|if|provided)\b",
    re.IGNORECASE,
)
_INSTEAD = re.compile(r"(?:^|[.!?:\n]\s*)actually\b", re.IGNORECASE)
_COURTESIES = re.compile(
    r"\b(?:please )?(?:let me know|feel free|if you (?:have|need|want|would like|d like))[^.!?\n]{0,160}", re.IGNORECASE
)


def is_aside(line: str) -> bool:
    """Whether a line begins with the key of a reason, or of something else that touches no label."""
    return bool(_key_words(line) & (REASONS | ASIDES))


def _key_words(line: str) -> set[str]:
    match = _ASIDE.match(line)
    return set(match.group(1).casefold().split()) if match else set()


def introduces(line: str | None) -> bool:
    """Whether a label may stand alone after this line: the line has ended, or has only words that introduce."""
    if line is None:
        return True
    words = words_of(line[-300:])
    if _SENTENCE_END.search(line[-8:]):
        return not any(phrase in words for phrase in RULED_OUT)
    last = words_of(last_sentence(line)).split()
    return bool(last) and all(word in INTRODUCTIONS for word in last)


def is_meant(text: str) -> bool:
    """Whether an object may stand after this text: its last sentence has ended, or holds no condition and no denial."""
    line = text.rstrip().rpartition("\n")[2]
    if not line or _SENTENCE_END.search(line[-8:]):
        return True
    words = words_of(last_sentence(line)[-300:])
    introduced = all(word in INTRODUCTIONS for word in words.split())
    return introduced or not any(phrase in words for phrase in NOT_MEANT)


def last_sentence(line: str) -> str:
    """What stands after the last end of a sentence within a line."""
    return _SENTENCES.split(line[-600:].rstrip())[-1]


def asks_for_text(answer: str) -> bool:
    """Whether the answer says that it got no text."""
    words = words_of(answer[:2000])
    return any(phrase in words for phrase in NO_TEXT)


def declines(before: str) -> bool:
    """Whether the text before a label declines to answer."""
    words = words_of(before[-4000:])
    return any(phrase in words for phrase in DECLINED)


def leaves_alone(after: Sequence[str], label: str, spellings: Spellings) -> bool:
    """Whether what follows an answer neither names another label nor doubts or takes back the first one.

    A reason may name other labels and weigh them.
    """
    reasons, free = _reasons_apart(after)
    if len(free) > _LONGEST_AFTER or _takes_back(reasons[:_LONGEST_AFTER]) or _takes_back(free):
        return False
    if spellings.others_in(free, label):
        return False
    free = _COURTESIES.sub(" ", free)
    words = words_of(free)
    return not (_YET.search(free) or any(phrase in words for phrase in DOUBTED))


def _takes_back(text: str) -> bool:
    words = words_of(text)
    return any(phrase in words for phrase in TAKEN_BACK) or bool(_STOPS.search(text) or _INSTEAD.search(text))


def _reasons_apart(lines: Sequence[str]) -> tuple[str, str]:
    """The lines of reasons, and the other lines."""
    reasons, free, within = list[str](), list[str](), False
    for line in lines:
        keys = _key_words(line)
        within = bool(keys & REASONS) or (within and not keys & ASIDES)
        (reasons if within else free).append(line)
    return "\n".join(reasons), "\n".join(free)
