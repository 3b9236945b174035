"""The spellings in which a label is recognised: Unicode forms, case, joints such as ``cancel_order``, outer marks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tutelage.core.task import Label

LABEL_LENGTH = 400
"""Characters of the longest piece of an answer that is looked up as a label."""

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_JOINTS = re.compile(r"(?<=[^\W_])[\s_\-\u2010-\u2013]+(?=[^\W_])")
_ESCAPES = re.compile(r"\\(?=[^\w\s]|_)")
_MARKS = " \t\r\n\"'`*_()[]{}<>=→⇒➡“”„‚‘’«»‹›「」『』【】《》〈〉"  # noqa: RUF001
_ENDS = ".!。।\u06d4"
_COPULAS = re.compile(r"^option\s+|(?:です|だ|である|입니다|이다)$", re.IGNORECASE)
_FACES = re.compile("[\U0001f600-\U0001f644\ufe0f]")
_SQUEEZED_MIN = 6
_WORDS = re.compile(r"[^\s!-/:-@\[-`{-~¡¿«»\u2010-\u2027\u2030-\u205e\u3001-\u301f]+")


def normal_form(text: str) -> str:
    """The text in one Unicode form, without case, invisible characters and kinds of joints."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return _JOINTS.sub(" ", unicodedata.normalize("NFC", text)).strip()


def bare(text: str) -> str:
    """The text without quotes, brackets, emphasis and a full stop around it."""
    text = _FACES.sub("", _ESCAPES.sub("", text)).strip(_MARKS)
    if text.endswith(("..", "…")):  # breaks off
        return text
    return text.rstrip(_ENDS).strip(_MARKS)


def words_of(text: str) -> str:
    """The folded text's words with one blank around each, to look phrases up in."""
    return f" {' '.join(_WORDS.findall(normal_form(text)))} "


@dataclass(frozen=True, kw_only=True)
class Spellings:
    """The labels by their folded spellings."""

    labels: dict[str, str]
    squeezed: dict[str, str]

    def label(self, text: str) -> str | None:
        """The label that the text is, and is nothing but; None where it is more, or none."""
        if len(text) > LABEL_LENGTH:
            return None
        plain = normal_form(bare(text))
        found = self.labels.get(normal_form(text.strip())) or self.labels.get(plain)
        return found or self.squeezed.get(plain.replace(" ", "")) or self.labels.get(bare(_COPULAS.sub("", plain)))

    def others_in(self, text: str, label: str) -> bool:
        """Whether the text mentions another label."""
        words = words_of(text)
        own = sorted((s for s, name in self.labels.items() if name == label), key=len, reverse=True)
        for spelling in own:
            words = words.replace(words_of(spelling), "  ")
        return any(_mentions(words, s) for s, name in self.labels.items() if name != label)


def _mentions(words: str, spelling: str) -> bool:
    if any(char > "\u2e80" for char in spelling):  # written without blanks
        return spelling in words
    return words_of(spelling) in words


@lru_cache(maxsize=64)
def spellings_of(labels: Sequence[Label]) -> Spellings:
    """The spellings of a task's labels; one that two labels share names neither."""
    pairs = [(spelling, label.name) for label in labels for spelling in (label.name, *label.aliases)]
    plain = _unique([(normal_form(spelling), name) for spelling, name in pairs])
    squeezed = _unique([(normal_form(bare(spelling)).replace(" ", ""), name) for spelling, name in pairs])
    long = {s: name for s, name in squeezed.items() if len(s) >= _SQUEEZED_MIN and s.isalpha()}
    return Spellings(labels=plain, squeezed=long)


def _unique(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    names: dict[str, set[str]] = {}
    for spelling, name in pairs:
        names.setdefault(spelling, set()).add(name)
    return {spelling: next(iter(of)) for spelling, of in names.items() if len(of) == 1}
