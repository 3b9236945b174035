"""What a person types into the search box, after Elasticsearch's ``simple_query_string``.

``word`` must occur; ``"some words"`` must occur in this order; ``word*`` begins a word; ``-word``
must not occur; ``a | b`` either. Operators apply from left to right; parentheses group nothing.
No input is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLAUSE = re.compile(r'(?P<signs>[-+|\s()]*)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"|+()]+))')
_FUZZINESS = re.compile(r"~\d*$")
_NO_SPACES_BETWEEN_WORDS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Clause:
    """One condition of a query."""

    text: str
    prefix: bool = False
    negated: bool = False
    alternative: bool = False  # to all that stands before it

    @property
    def expression(self) -> str:
        """The clause as an FTS5 expression; quoted, so that nothing in it is syntax."""
        return f'"{self.text}"' + "*" * self.prefix

    @property
    def unspaced(self) -> bool:
        """Whether its script leaves no spaces between words, so that an index of words misses it."""
        return bool(_NO_SPACES_BETWEEN_WORDS.search(self.text))


def parse(typed: str) -> list[Clause]:
    """The clauses of what was typed; none when it holds neither a letter nor a digit."""
    clauses = (_clause(match) for match in _CLAUSE.finditer(typed.replace("\0", " ")))
    return [clause for clause in clauses if any(sign.isalnum() for sign in clause.text)]


def _clause(match: re.Match[str]) -> Clause:
    signs, phrase, word = match["signs"], match["phrase"], match["word"]
    negated, alternative = signs.rstrip(" \t\n(").endswith("-"), "|" in signs
    if phrase is not None:
        return Clause(phrase, negated=negated, alternative=alternative)
    word = _FUZZINESS.sub("", word)
    return Clause(word.rstrip("*"), prefix=word.endswith("*"), negated=negated, alternative=alternative)
