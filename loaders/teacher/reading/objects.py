"""Labels in JSON objects, also where an object is a Python dict or has quotes that are not escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.loaders.teacher.reading.spelling import Spellings
from tutelage.loaders.teacher.reading.wordings import CORRECTED, MARKERS, MODIFIERS, REASONS

_OBJECTS_MOST = 20
_PAIRS_MOST = 50
_LOOSE_LENGTH = 20_000  # characters of an object that is no JSON
_DEPTH_MOST = 3
_FREE_TEXT = 40  # characters from which another key's value is text, not a label
_TWICE = "\0twice"
_CONTAINERS = frozenset(["data", "json", "arguments", "args", "parameters"])
_VALUES = ("value", "name", "label")
_FLAGS = frozenset(["applies", "applicable", "correct", "match", "matches", "present", "valid", "holds"])
_DENIALS = frozenset(["negated", "negation", "denied", "excluded", "rejected", "wrong", "error", "refusal"])
_CURLY = str.maketrans("“”„‟", '""""')
_HAN_KEY = re.compile(
    "^(?:这段|这条|这篇|这个|这句|该|此|本|我的|最终|最終的な|最終|整体|总体|この|テキストの|文字|文本|评论|文章|句子|话|的|の)*"
    f"({'|'.join(sorted((m for m in MARKERS if m > chr(0x2E80)), key=len, reverse=True))})(?:是|为|為|は)?$"
)
_WORDS = re.compile(r"[^\W\d_]+")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PAIR = re.compile(
    r"[{,\s]([\"']?)([^\W\d][\w -]{0,40})\1\s{0,20}:\s{0,20}([\"'])([^\"'\n]{0,200})\3(?=\s{0,20}[,}\]])"
)
_REASON_KEY = re.compile(r"[\"'](?:reason|reasoning|explanation|rationale)[\"']\s{0,20}:\s{0,20}[\"']", re.IGNORECASE)


class Unclear(Exception):  # noqa: N818 - ends the reading, never leaves the parser
    """The answer names several labels, or denies, doubts or takes back the one that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value that stands for the label: the label, None where it is none of the task's; its words; the reason."""

    label: str | None
    words: str
    reason: str = ""


def own_key(key: str, names: frozenset[str] = frozenset()) -> bool:
    """Whether a key is a label's own: a known word for it, with words that change nothing; ``names`` are the task's."""
    words = [han.group(1) if (han := _HAN_KEY.match(word)) else word for word in _key_words(key)]
    known = MARKERS | names
    return any(word in known for word in words) and all(word in known or word in MODIFIERS for word in words)


def reason_key(key: str) -> bool:
    """Whether a key is a reason's."""
    words = _key_words(key)
    return any(word in REASONS for word in words) and all(word in REASONS or word in MODIFIERS for word in words)


def _key_words(key: str) -> list[str]:
    return _WORDS.findall(_HUMPS.sub(" ", key).casefold()) if len(key) <= 80 else []


def whole_value(text: str) -> Any:
    """The JSON value that the text is; None where it is none."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def objects_in(text: str) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Start, end and content of the objects in a text, from left to right.

    Raises
    ------
    Unclear
        When there are too many.
    """
    at = text.find("{")
    for _ in range(_OBJECTS_MOST):
        if at < 0:
            return
        value, end = _object_at(text, at)
        if isinstance(value, dict):
            yield at, end, value
        at = text.find("{", max(end, at + 1))
    if at >= 0:
        raise Unclear


def _object_at(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        pass
    ends = text.find("}", at) + 1, text.rfind("}") + 1
    for end in dict.fromkeys(ends):
        if 0 < end - at <= _LOOSE_LENGTH and (pairs := _loose_pairs(text[at:end].translate(_CURLY))):
            return pairs, end
    return None, at


def _loose_pairs(text: str) -> dict[str, Any] | None:
    """The short values of an object that is no JSON, by key; the reason is what stands between two keys."""
    if text.count("{") > _PAIRS_MOST:
        return None
    found = [(match.group(2), match.group(4)) for match in _PAIR.finditer(text)]
    if not 0 < len(found) <= _PAIRS_MOST:
        return None
    return {**_checked(found), **_loose_reason(text)}


def _loose_reason(text: str) -> dict[str, str]:
    start = _REASON_KEY.search(text)
    if not start:
        return {}
    rest = text[start.end() :]
    later = re.search(r"[\"']\s{0,20},\s{0,20}[\"']?[a-z_]{1,40}[\"']?\s{0,20}:\s{0,20}[\"']", rest)
    end = later.start() if later else len(rest.rstrip("}\n\r\t ,")) - 1
    return {"reason": rest[: max(end, 0)].replace("\\'", "'").replace('\\"', '"')}


def _checked(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict, which says where a key stands twice with different values."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            found[_TWICE] = True
        found[key] = value
    return found


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_checked, parse_int=str, parse_float=str)


def labels_of(value: Any, spellings: Spellings, names: frozenset[str], depth: int = 0) -> list[Found]:
    """What the keys of an object that are a label's own say.

    Raises
    ------
    Unclear
        When they disagree, or another key denies them.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict) or depth > _DEPTH_MOST:
        return []
    _check_whole(value, spellings)
    found: list[Found] = []
    for key, item in value.items():
        if own_key(key, names):
            found += _own(key, item, spellings, names, depth)
        elif set(_key_words(key)) <= _CONTAINERS and isinstance(item, dict | list):
            found += labels_of(item, spellings, names, depth + 1)
    corrections = [_found(item, spellings) for key, item in value.items() if set(_key_words(key)) & CORRECTED]
    return _agreed(found, [one for one in corrections if one.label], _reason(value))


def _check_whole(value: Mapping[str, Any], spellings: Spellings) -> None:
    denied = any(item is False or spelled_no(item) for key, item in value.items() if set(_key_words(key)) & _FLAGS)
    denied = denied or any(item and item != "false" for key, item in value.items() if set(_key_words(key)) & _DENIALS)
    switches = any(isinstance(item, bool) and _names_label(key, spellings) for key, item in value.items())
    if _TWICE in value or denied or switches:
        raise Unclear


def spelled_no(item: Any) -> bool:
    """Whether a value says no."""
    return isinstance(item, str) and item.strip().casefold() in {"no", "false", "0"}


def _names_label(key: str, spellings: Spellings) -> bool:
    return spellings.label(key) is not None or spellings.label(key.removeprefix("is_")) is not None


def _own(key: str, item: Any, spellings: Spellings, names: frozenset[str], depth: int) -> list[Found]:
    if isinstance(item, list) and len(item) == 1:
        item = item[0]
    if isinstance(item, dict):
        inner = labels_of(item, spellings, names, depth + 1)
        return inner or [_found(item.get(next((v for v in _VALUES if v in item), "")), spellings)]
    found = _found(item, spellings)
    is_text = found.label is None and len(found.words) > _FREE_TEXT and "label" not in _key_words(key)
    return [] if is_text else [found]


def _found(item: Any, spellings: Spellings) -> Found:
    words = item.strip() if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)
    return Found(label=spellings.label(words), words=words)


def _agreed(found: list[Found], corrections: list[Found], reason: str) -> list[Found]:
    if len({one.label for one in [*found, *corrections]}) > 1 and found:
        raise Unclear
    return [Found(label=one.label, words=one.words, reason=one.reason or reason) for one in found[:1]]


def _reason(value: Mapping[str, Any]) -> str:
    return next((item.strip() for key, item in value.items() if reason_key(key) and isinstance(item, str)), "")
