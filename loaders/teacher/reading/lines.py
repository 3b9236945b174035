"""Labels that stand alone in a line: after a marker, in a tag, in bold, or as the last line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tutelage.loaders.teacher.reading.objects import Found, Unclear, own_key, reason_key
from tutelage.loaders.teacher.reading.spelling import LABEL_LENGTH, Spellings, words_of
from tutelage.loaders.teacher.reading.surroundings import (
    declines,
    introduces,
    is_aside,
    is_meant,
    last_sentence,
    leaves_alone,
)
from tutelage.loaders.teacher.reading.wordings import CONCLUSIONS, MODIFIERS

_LINES_MOST = 2000
_LONG_VALUE = 60  # characters from which what follows a marker is text
_TAGGED = re.compile(r"<([a-zA-Z_]{1,30})>([^<>]{0,4000})</\1>")
_BOXED = re.compile(r"\$*\\boxed\{(?:\\text\{)?([^{}\n]{0,200})\}{1,2}\$*")
_BESIDE = re.compile(
    r"\s{0,4}[|,;]\s{0,4}(?=(?:reason|reasoning|explanation|rationale|confidence)\s{0,4}:)", re.IGNORECASE
)
_BASED = re.compile(r"^based on (?:this|these|that|the|my) [\w ]{1,40},\s", re.IGNORECASE)
_FENCE = re.compile(r"^`{3,}[\w+-]{0,20}$")
_KEYED = re.compile(r"^(.{1,80}?)\s{0,4}(?::|=|->|→)(.*)$", re.DOTALL)
_COPULA = re.compile(
    r"^(.{1,80}?)(?:\s(?:is|ist|lautet|es|est|è|é|är|jest|это|[-\u2013\u2014])\s|是|为|為|は)(.*)$", re.DOTALL
)
_BULLET = re.compile(r"^[-*•]\s+")
_HEADING = re.compile(r"^#{1,6}\s+")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_SAID_IN_BOLD = re.compile(r"^(.{1,80}?) (?:is|ist|est|es|è|é) ((?:\*\*|__)[^*\n]{1,200}(?:\*\*|__))[.!]?$")
_ITEM = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s")
_BOLD = re.compile(r"^(?:\*\*|__)[^*\n]{1,400}(?:\*\*|__)[.!]?$")
_CLASSIFIED = re.compile(
    r"^(?:so,? |therefore,? |overall,? )?i(?:['’]d| would| will)? (?:classify|label|categori[sz]e|rate|annotate)"  # noqa: RUF001
    r" (?:this|it|the)(?: \w+)? as:? ([^:,;]{1,200}?)[.!]?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that is not blank: its text, its key and its value where it has them, the label that it is or gives.

    ``own`` says that the key is the label's own, ``gap`` that a blank line stands before it.
    """

    text: str
    key: str = ""
    value: str = ""
    label: str | None = None
    own: bool = False
    bold: bool = False
    gap: bool = False

    @property
    def alone(self) -> bool:
        """Whether the line is a label and nothing else."""
        return self.label is not None and not self.key

    @property
    def announces(self) -> bool:
        """Whether the line is a marker, with its label in the next line."""
        return self.own and not self.value


def with_tags_as_lines(text: str) -> str:
    """The text with ``<label>x</label>``, boxed answers and a reason beside a label as lines of their own."""
    text = _BESIDE.sub("\n", text)
    if "</" in text:
        text = _TAGGED.sub(lambda m: f"\n{m.group(1).replace('_', ' ')}: {' '.join(m.group(2).split())}\n", text)
    return _BOXED.sub(lambda m: f"\nlabel: {m.group(1)}\n", text) if "\\boxed" in text else text


def lines_of(text: str, spellings: Spellings, names: frozenset[str]) -> list[Line]:
    """The lines that are not blank and not only marks.

    Raises
    ------
    Unclear
        When there are too many.
    """
    texts = [line.strip() for line in text.split("\n", 4 * _LINES_MOST)]
    places = [n for n, line in enumerate(texts) if any(map(str.isalnum, line)) and not _FENCE.match(line)]
    if len(places) > _LINES_MOST:
        raise Unclear
    gaps = [at > 0 and not texts[at - 1] for at in places]
    return [replace(_line(texts[at], spellings, names), gap=gap) for at, gap in zip(places, gaps, strict=True)]


def _line(text: str, spellings: Spellings, names: frozenset[str]) -> Line:
    if len(text) > LABEL_LENGTH:
        return _keyed(text, last_sentence(text), spellings, names) or Line(text=text)
    plain = _HEADING.sub("", text)
    if label := spellings.label(plain):
        return Line(text=text, label=label, value=plain, bold=bool(_BOLD.match(plain)))
    if words := _said(plain):
        return Line(text=text, key="label", value=words, label=spellings.label(words), own=True)
    whole = _keyed(text, plain, spellings, names)
    last = None if whole and whole.own else _keyed(text, last_sentence(plain), spellings, names)
    return last if last and last.own and _ended(plain) else whole or Line(text=text)


def _said(line: str) -> str:
    """The label's words in "I would classify this as x" and in "This text is **x**"."""
    if match := _CLASSIFIED.match(line):
        return match.group(1)
    match = _SAID_IN_BOLD.match(line)
    return match.group(2) if match and set(words_of(match.group(1)).split()) <= MODIFIERS | {"it"} else ""


def _ended(line: str) -> bool:
    """Whether what stands before a line's last sentence is no question."""
    return not re.search(r"[?？]", line)  # noqa: RUF001


def _keyed(text: str, part: str, spellings: Spellings, names: frozenset[str]) -> Line | None:
    """The line with its key and value; a marker without a value is one too."""
    part = unicodedata.normalize("NFKC", _EMPHASIS.sub("", _BULLET.sub("", part))).strip()
    part = _BASED.sub("", part)
    for form in (_KEYED, _COPULA):
        match = form.match(part)
        if match and (form is _KEYED or own_key(match.group(1), names)):
            key, value = match.group(1), match.group(2).strip()
            own = own_key(key, names) or concludes(key, spellings.label(value))
            inner = _COPULA.match(value) if own else None
            if inner and own_key(inner.group(1), names):
                value = inner.group(2).strip()
            if own and not value and form is _COPULA:
                return None
            return Line(text=text, key=key, value=value, label=spellings.label(value), own=own)
    return Line(text=text, key=part, own=True) if own_key(part, names) and len(part) <= _LONG_VALUE else None


def concludes(key: str, label: str | None) -> bool:
    """Whether a key such as "Overall" announces a label."""
    words = set(words_of(key).split())
    return label is not None and bool(words & CONCLUSIONS) and words <= MODIFIERS


def label_in(lines: Sequence[Line], spellings: Spellings) -> Found | None:
    """The label that stands alone in these lines; None where there is none.

    Raises
    ------
    Unclear
        When they name several labels, or what stands around the label leaves it in doubt.
    """
    if len({line.label for line in lines if line.label}) > 1:
        raise Unclear
    places = _marked(lines) or _standing_alone(lines)
    if not places:
        return None
    label = lines[places[-1]].label
    if label is None:
        return Found(label=None, words=lines[places[-1]].value)
    before, after = lines[: places[0]], [line.text for line in lines[places[-1] + 1 :]]
    if not _is_answer(before, lines[places[0]]) or not leaves_alone(after, label, spellings):
        raise Unclear
    return Found(label=label, words=lines[places[-1]].value, reason=_reason(lines))


def _is_answer(before: Sequence[Line], place: Line) -> bool:
    """Whether what stands before a label lets it be the answer."""
    if not before or before[-1].announces:
        return not before or not declines(before[0].text)
    if declines("\n".join(line.text for line in before)):
        return False
    last = before[-1]
    if introduces(last.text):
        return True
    if last.text.rstrip("*_ ").endswith((":", ",", ";", "?", "\uff1a")):
        return False
    of_list = bool(last.key and last.value) or bool(_ITEM.match(last.text))
    return (of_list and (place.own or place.gap)) or (place.own and is_meant(last.text))


def _marked(lines: Sequence[Line]) -> list[int]:
    """The places of labels after a marker, in its line or in the next one.

    Raises
    ------
    Unclear
        When a marker is followed by something else.
    """
    places = [n for n, line in enumerate(lines) if line.own and line.value and not _is_text(line)]
    places += [n for n, line in enumerate(lines) if n and line.alone and lines[n - 1].announces]
    if len(places) > 1 and any(lines[n].label is None for n in places):
        raise Unclear
    return sorted(places)


def _is_text(line: Line) -> bool:
    return line.label is None and len(line.value) > _LONG_VALUE


def _standing_alone(lines: Sequence[Line]) -> list[int]:
    """The place of the one line that is a label: the last line, a bold one, or the first where a reason follows."""
    places = [n for n, line in enumerate(lines) if line.alone]
    if len(places) != 1:
        return []
    at = places[0]
    reasoned = at == 0 and len(lines) > 1 and is_aside(lines[1].text)
    return places if at == len(lines) - 1 or lines[at].bold or reasoned else []


def _reason(lines: Sequence[Line]) -> str:
    """What follows the key of a reason, up to the next key."""
    start = next((n for n, line in enumerate(lines) if reason_key(line.key)), None)
    if start is None:
        return ""
    words = [lines[start].value]
    for line in lines[start + 1 :]:
        if line.key or line.alone:
            break
        words.append(line.text)
    return "\n".join(word for word in words if word)
