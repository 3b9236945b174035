"""The values of a record that can be filtered and sorted by, each as rows of SQL.

A record may have several values of a kind (a list of terms, the answers of several people), so
each kind is a source of rows that belong to the record of the enclosing query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argilla_server.models import Question, Record, Response, Suggestion
from argilla_server.search_engine import MetadataFilterScope, ResponseFilterScope, SuggestionFilterScope
from sqlalchemy import String as StringType
from sqlalchemy import case, cast, exists, func, literal, select

from . import sqlite


@dataclass(frozen=True, kw_only=True)
class Values:
    """Rows with a `value` and its JSON `type`, from `sources` where all of `conditions` hold."""

    sources: tuple[Any, ...]  # in this order: each may speak of the ones before it
    value: Any
    type: Any
    conditions: tuple[Any, ...]

    def any(self, condition: Any) -> Any:
        """Whether the record has a value for which `condition` holds."""
        rows = select(literal(1)).select_from(*self.sources).where(*self.conditions, condition)
        return exists(rows.correlate(Record))

    def one(self, choice: Any) -> Any:
        """One value for the record, such as its least one; NULL when it has none."""
        return select(choice).select_from(*self.sources).where(*self.conditions).correlate(Record).scalar_subquery()

    @property
    def average(self) -> Any:
        """The mean of the numbers; the least of the texts where there are no numbers."""
        number = case((sqlite.is_number(self.type), self.value))
        return func.coalesce(func.avg(number), func.min(self.value))


def values_of(scope: Any, dataset_id: UUID) -> Values:
    """The values that a filter or an order of Argilla's speaks of."""
    if isinstance(scope, MetadataFilterScope):
        return _metadata(scope.metadata_property)
    if isinstance(scope, SuggestionFilterScope):
        return _suggestion(scope, dataset_id)
    if isinstance(scope, ResponseFilterScope):
        return _response(scope)
    raise TypeError(f"Records cannot be searched by {scope!r}.")


def _metadata(name: str) -> Values:
    member = sqlite.members(Record.metadata_, "member")
    item = sqlite.items(sqlite.as_list(member.c.value, member.c.type), "item")
    return Values(
        sources=(member, item),
        value=item.c.value,
        type=item.c.type,
        conditions=(member.c.key == name, member.c.type != "null"),
    )


def _suggestion(scope: Any, dataset_id: UUID) -> Values:
    question = select(Question.id).where(Question.dataset_id == dataset_id, Question.name == scope.question)
    belongs = (Suggestion.record_id == Record.id, Suggestion.question_id == question.scalar_subquery())
    if scope.property in {"agent", "type"}:
        column = getattr(Suggestion, scope.property)
        return Values(
            sources=(Suggestion,),
            value=cast(column, StringType),
            type=literal("text"),
            conditions=(*belongs, column.is_not(None)),
        )
    document = Suggestion.score if scope.property == "score" else Suggestion.value
    item = sqlite.items(document, "item")
    return Values(
        sources=(Suggestion, item), value=item.c.value, type=item.c.type, conditions=(*belongs, item.c.type != "null")
    )


def _response(scope: Any) -> Values:
    belongs = (Response.record_id == Record.id, *([Response.user_id == scope.user.id] if scope.user else []))
    if scope.question is None:
        return Values(
            sources=(Response,), value=cast(Response.status, StringType), type=literal("text"), conditions=belongs
        )
    member = sqlite.members(Response.values, "member")
    item = sqlite.items(member.c.value, "item", "$.value")
    return Values(
        sources=(Response, member, item),
        value=item.c.value,
        type=item.c.type,
        conditions=(*belongs, member.c.key == scope.question, item.c.type != "null"),
    )
