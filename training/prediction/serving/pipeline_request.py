"""A request and its answer in the form of the Hub's text-classification pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.core.arrays import Floats
from tutelage.core.formats.strict_json import RepeatedKeyError, read_json


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """Limits of a request: bytes of the body, number of texts, characters per text."""

    body: int = 4_000_000
    texts: int = 256
    length: int = 100_000


@dataclass(frozen=True)
class ParsedRequest:
    """A valid request."""

    texts: list[str]
    top_k: int | None


class RequestError(Exception):
    """A request that is refused: HTTP status and reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def parse_request(body: bytes, limits: RequestLimits) -> ParsedRequest:
    """Parse a request's body.

    Raises
    ------
    RequestError
        When it is not JSON (400), or not a valid request (422).
    """
    try:
        data = read_json(body)
    except RepeatedKeyError as error:
        raise RequestError(422, f"the body {error}; send it once") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(data, dict) or "inputs" not in data:
        raise RequestError(422, 'expected {"inputs": "text"} or {"inputs": ["text", ...]}')
    return ParsedRequest(_texts(data["inputs"], limits), _top_k(data.get("parameters")))


def _texts(inputs: Any, limits: RequestLimits) -> list[str]:
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError(422, '"inputs" must be a text or a list of texts')
    if len(texts) > limits.texts:
        raise RequestError(422, f'"inputs" holds {len(texts)} texts; at most {limits.texts} per request')
    for number, text in enumerate(texts):
        if len(text) > limits.length:
            raise RequestError(422, f"text {number} has {len(text)} characters; at most {limits.length}")
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise RequestError(422, f"text {number} contains a lone surrogate")
    return texts


def _top_k(parameters: Any) -> int | None:
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise RequestError(422, '"parameters" must be an object')
    unknown = {name for name, value in parameters.items() if value is not None} - {"top_k", "function_to_apply"}
    if unknown:
        raise RequestError(422, f'"parameters" holds {", ".join(sorted(unknown))}; only top_k is supported')
    if parameters.get("function_to_apply") not in {None, "softmax"}:
        raise RequestError(422, '"function_to_apply" can only be softmax')
    top_k = parameters.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise RequestError(422, '"top_k" must be an integer greater than 0')
    return top_k


def ranked_labels(probs: Floats, names: Sequence[str], top_k: int | None) -> list[list[dict[str, Any]]]:
    """The output of the pipeline: for each text its labels with scores, the best first."""
    best = (-probs).argsort(axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": names[i], "score": float(row[i])} for i in order] for row, order in zip(probs, best, strict=True)
    ]
