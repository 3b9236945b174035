"""The request parameters that an endpoint supports for a model: found out in calls, remembered where it refuses some.

Whether it follows a response format that it takes is judged anew in each run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.loaders.models.model import Request

_RULE = "refused"  # what a stored form means: the endpoint has refused those before it
_JUDGED = 5  # answers, or failures, from which a response format is judged
_FORMS = ("json_schema", "json_object", "")
_ABOUT_FORM = re.compile(r"response_format|json.?schema|json.?object|guided|grammar|structured", re.IGNORECASE)
_ABOUT_LOGPROBS = re.compile(r"logprob", re.IGNORECASE)
_ABOUT_LENGTH = re.compile(r"max_completion_tokens", re.IGNORECASE)
_ABOUT_SEED = re.compile(r"\bseed\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """``form`` is the type of ``response_format``, '' for none; ``settled`` says that an answer has followed it."""

    form: str = _FORMS[0]
    settled: bool = False
    logprobs: bool = True
    length: str = "max_tokens"
    seed: bool = True

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Dialect:
        """The stored dialect; what an older version did not store, or stored after one answer, has its default."""
        doubtful = set() if data.get("rule") == _RULE else {"form", "settled"}
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data and name not in doubtful})

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, to be stored."""
        return {**asdict(self), "rule": _RULE}

    def body(self, request: Request, *, model: str, logprobs: bool) -> dict[str, Any]:
        """The body of a chat completion in this dialect."""
        body = {"model": model, "messages": [{"role": "user", "content": request.prompt}], **request.parameters}
        if "max_tokens" in body:
            body[self.length] = body.pop("max_tokens")
        if "seed" in body and self.seed:
            body["seed"] += request.number - 1  # with one seed all votes would be equal
        elif "seed" in body:
            del body["seed"]
        if logprobs and self.logprobs:
            body["logprobs"] = True
        return body | self._response_format(request.labels)

    def _response_format(self, labels: tuple[str, ...]) -> dict[str, Any]:
        if not labels or not self.form:
            return {}
        schema = {"name": "vote", "strict": True, "schema": vote_schema(labels)}
        return {"response_format": {"type": self.form, **({"json_schema": schema} if self.form == _FORMS[0] else {})}}

    def without(self, complaint: str, request: Request) -> Dialect | None:
        """A simpler dialect, after the endpoint rejected a request; None where nothing is left to drop."""
        if _ABOUT_LENGTH.search(complaint) and self.length == "max_tokens":
            return replace(self, length="max_completion_tokens")
        if _ABOUT_LOGPROBS.search(complaint) and self.logprobs:
            return replace(self, logprobs=False)
        if _ABOUT_SEED.search(complaint) and self.seed and "seed" in request.parameters:
            return replace(self, seed=False)
        if request.labels and self.form and (_ABOUT_FORM.search(complaint) or not self.settled):
            return replace(self, form=_FORMS[_FORMS.index(self.form) + 1])
        return None

    def is_about_form(self, complaint: str) -> bool:
        """Whether an endpoint's message speaks of the response format."""
        return bool(self.form and _ABOUT_FORM.search(complaint))


class FormTrial:
    """How an endpoint takes one response format in this run: answers that followed or ignored it, and failures.

    A server error may be due to the format or to chance. Until an answer has followed it, requests with
    the format and without take turns after an error.
    """

    def __init__(self) -> None:
        self._followed = self._ignored = self._failed = self._without = 0

    @property
    def is_worth_asking(self) -> bool:
        """Whether the next request asks for the format."""
        if self._followed + self._ignored >= _JUDGED:
            return self._followed >= self._ignored
        return bool(self._followed) or self._failed <= min(self._without, _JUDGED)

    def answered(self, *, followed: bool) -> None:
        """Record an answer to a request with the format."""
        self._followed += followed
        self._ignored += not followed

    def failed(self) -> None:
        """Record a server error on a request with the format."""
        self._failed += 1

    def answered_without(self) -> None:
        """Record an answer to a request that left the format out."""
        self._without += 1


def vote_schema(labels: tuple[str, ...]) -> dict[str, Any]:
    """JSON schema of a vote: the reason first, so that the model reasons before it decides."""
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "label": {"type": "string", "enum": list(labels)}},
        "required": ["reason", "label"],
        "additionalProperties": False,
    }
