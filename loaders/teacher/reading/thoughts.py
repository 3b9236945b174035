"""What a model answers apart from what it thinks aloud before it, and from the tokens of its chat template."""

from __future__ import annotations

import re

_NAMES = ["think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis", "seed:think"]
_PAIRS = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<unused94>", "<unused95>"),
)
_OPENS = {pair[0].encode(): True for pair in _PAIRS}
_TAGS = {**_OPENS, **{pair[1].encode(): False for pair in _PAIRS}}
_HINTS = (b"think", b"thought", b"reasoning", b"reflection", b"scratchpad", b"analysis", b"unused9")
_TAGS_MOST = 1000
_TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|return|>",
    "<|eom_id|>",
    "</s>",
    "<end_of_turn>",
)
_ROLE = re.compile(r"^(?:assistant|model)\s{0,4}[:\n]\s{0,4}", re.IGNORECASE)
_TOKENS = re.compile(r"<\|start_header_id\|>\w*<\|end_header_id\|>|<\|[\w ]{1,40}\|>|<s>|<start_of_turn>(?:model)?")


def without_thoughts(answer: str) -> str | None:
    """The answer without thoughts; None where they did not end."""
    if "<|channel|>" in answer:
        return _final_channel(answer)
    if answer.startswith("analysis") and answer[8:9].isupper():  # the channels of a template whose tokens were dropped
        _, final, rest = answer.rpartition("assistantfinal")
        return rest if final else None
    content = answer.encode("utf-8", "replace")
    tags = content.lower()
    if not any(hint in tags for hint in _HINTS):
        return answer
    places = _places(tags)
    return None if len(places) > _TAGS_MOST else _outside(content, places)


def _final_channel(answer: str) -> str | None:
    start = answer.rfind("<|channel|>")
    message = answer.find("<|message|>", start)
    final = answer.startswith("<|channel|>final", start) and message > 0
    return answer[message + len("<|message|>") :] if final else None


def _places(tags: bytes) -> list[tuple[int, int, bool]]:
    """Start, end and kind of each tag; more than the most where there are too many."""
    places: list[tuple[int, int, bool]] = []
    for tag, opens in _TAGS.items():
        at = tags.find(tag)
        while at >= 0 and len(places) <= _TAGS_MOST:
            places.append((at, at + len(tag), opens))
            at = tags.find(tag, at + len(tag))
    return sorted(places)


def _outside(content: bytes, places: list[tuple[int, int, bool]]) -> str | None:
    kept, start, inside = list[bytes](), 0, False
    for at, end, opens in places:
        if opens and not inside:
            kept.append(content[start:at])
            inside = True
        elif not opens:
            kept = kept if inside else []  # the tag that opened these thoughts stood in the prompt
            inside, start = False, end
    return None if inside else b"\n".join([*kept, content[start:]]).decode("utf-8", "replace")


def first_turn(answer: str) -> str:
    """The answer without the tokens and the role of chat templates, up to the end of the first turn."""
    if "<" not in answer:
        return _ROLE.sub("", answer)
    for end in _TURN_ENDS:
        head, found, _ = answer.partition(end)
        if found and head.strip():
            answer = head
    return _ROLE.sub("", _TOKENS.sub("", answer).lstrip())
