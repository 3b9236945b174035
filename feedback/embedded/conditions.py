"""Argilla's filters and orders as SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from argilla_server.enums import RecordSortField, RecordStatus, ResponseStatus, SortOrder
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import Record, Response
from argilla_server.search_engine import AndFilter, RangeFilter, RecordFilterScope, ResponseFilterScope, TermsFilter
from sqlalchemy import and_, case, exists, func, or_, true

from . import sqlite
from .values import Values, values_of

PENDING = "pending"
DATE_ONLY = len("2024-01-31")


def condition(wanted: Any, dataset_id: UUID) -> Any:
    """Whether a record passes a filter."""
    if isinstance(wanted, AndFilter):
        return and_(true(), *(condition(part, dataset_id) for part in wanted.filters))
    if isinstance(wanted.scope, RecordFilterScope):
        return _record_condition(wanted)
    if isinstance(wanted.scope, ResponseFilterScope) and wanted.scope.question is None:
        return _response_status(wanted)
    values = values_of(wanted.scope, dataset_id)
    if isinstance(wanted, TermsFilter):
        return values.any(_is_one_of(values, wanted.values))
    return values.any(_is_between(values, wanted))


def is_pending_view(wanted: Any) -> bool:
    """Whether a filter asks for what a person has not answered yet, whatever else it asks for."""
    if isinstance(wanted, AndFilter):
        return any(map(is_pending_view, wanted.filters))
    scope = getattr(wanted, "scope", None)
    if not isinstance(wanted, TermsFilter) or not isinstance(scope, ResponseFilterScope):
        return False
    return scope.question is None and wanted.values == [PENDING]


def order_by(orders: list[Any], dataset_id: UUID) -> list[Any]:
    """What to sort by; records that lack the value come last either way."""
    return [_directed(_sort_value(order, dataset_id), order.order).nulls_last() for order in orders]


def _directed(value: Any, order: Any) -> Any:
    return value.desc() if order == SortOrder.desc else value.asc()


def _sort_value(order: Any, dataset_id: UUID) -> Any:
    if isinstance(order.scope, RecordFilterScope):
        return getattr(Record, order.scope.property)
    values = values_of(order.scope, dataset_id)
    if isinstance(order.scope, ResponseFilterScope):
        return values.one(values.average)
    choose = func.max if order.order == SortOrder.desc else func.min
    return values.one(choose(values.value))


def _is_one_of(values: Values, wanted: list[str]) -> Any:
    """Filters hold texts only: ``"5"`` also means the number 5."""
    as_text = case((values.type.in_(["true", "false"]), values.type), else_=values.value)
    numbers = [number for number in map(_number, wanted) if number is not None]
    return or_(as_text.in_(wanted), and_(sqlite.is_number(values.type), values.value.in_(numbers)))


def _is_between(values: Values, wanted: Any) -> Any:
    bounds = []
    if wanted.ge is not None:
        bounds.append(_comparable(values, wanted.ge) & (values.value >= _bound(wanted.ge)))
    if wanted.le is not None:
        bounds.append(_comparable(values, wanted.le) & (values.value <= _bound(wanted.le)))
    return and_(true(), *bounds)


def _comparable(values: Values, bound: float | str) -> Any:
    """SQLite orders every text after every number; a bound applies to values of its own type only."""
    return sqlite.is_number(values.type) if _number(bound) is not None else values.type == "text"


def _bound(bound: float | str) -> float | str:
    number = _number(bound)
    return bound if number is None else number


def _number(value: float | str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _response_status(wanted: Any) -> Any:
    """The statuses of one person's answers, or of anybody's; pending means that there is no answer."""
    if not isinstance(wanted, TermsFilter):
        raise UnprocessableEntityError("A response's status can be filtered by terms only, not by a range.")
    own = (Response.record_id == Record.id, *([Response.user_id == wanted.scope.user.id] if wanted.scope.user else []))
    statuses = [status for status in ResponseStatus if status in wanted.values]
    answered = exists().where(*own, Response.status.in_(statuses)).correlate(Record)
    if PENDING not in wanted.values:
        return answered
    return or_(~exists().where(*own).correlate(Record), answered)


def _record_condition(wanted: Any) -> Any:
    name = wanted.scope.property
    column, read = getattr(Record, name), _READERS[name]
    if isinstance(wanted, TermsFilter):
        return column.in_([value for value in map(read, wanted.values) if value is not None])
    if not isinstance(wanted, RangeFilter) or name not in _RANGES:
        raise UnprocessableEntityError(f"Records cannot be filtered by a range of {name}; filter by terms.")
    lower = true() if wanted.ge is None else column >= read(wanted.ge)
    upper = true() if wanted.le is None else column <= _last_instant(wanted.le, read)
    return and_(lower, upper)


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _status(value: Any) -> RecordStatus | None:
    return next((status for status in RecordStatus if status == value), None)


def _moment(value: float | str) -> datetime:
    """An ISO 8601 text or milliseconds since 1970, as Elasticsearch takes them; UTC, as they are stored."""
    try:
        if (milliseconds := _number(value)) is not None:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        else:
            moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError) as error:
        raise UnprocessableEntityError(f"{value!r} is not a date; write it like 2024-01-31T12:00:00.") from error
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _last_instant(value: Any, read: Callable[[Any], Any]) -> Any:
    """A day as an upper bound includes the whole day."""
    bound = read(value)
    if isinstance(bound, datetime) and isinstance(value, str) and len(value) == DATE_ONLY:
        return datetime.combine(bound, time.max)
    return bound


_READERS: dict[str, Callable[[Any], Any]] = {
    RecordSortField.id: _uuid,
    RecordSortField.external_id: str,
    RecordSortField.inserted_at: _moment,
    RecordSortField.updated_at: _moment,
    RecordSortField.status: _status,
}
_RANGES = {RecordSortField.external_id, RecordSortField.inserted_at, RecordSortField.updated_at}
