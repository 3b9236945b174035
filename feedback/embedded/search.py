"""Argilla's search engine interface, answered from the database itself.

There is no second copy of the data: searches see what is committed, and the methods that update an
index do nothing. The text index is kept by the database (see ``sqlite.py``).

The methods and their arguments are those of ``argilla_server.search_engine.base.SearchEngine``.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from argilla_server.enums import MetadataPropertyType, SortOrder
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import Dataset, MetadataProperty, Record, Response
from argilla_server.search_engine import (
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    MetadataFilterScope,
    Order,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
)
from argilla_server.settings import settings
from sqlalchemy import Float as FloatType
from sqlalchemy import String as StringType
from sqlalchemy import and_, cast, false, func, literal, not_, or_, select
from sqlalchemy.ext.asyncio import create_async_engine

from . import environment, sqlite, textquery
from .conditions import condition, is_pending_view, order_by
from .paging import Pages, goes_on, view_of
from .values import values_of

QUEUE_ORDER = ("suspect_rank", "label_quality")
"""The metadata by which a queue stands worst first; other datasets do not have them and are in no order by them."""

_pages = Pages()


def register() -> None:
    """Register this engine under the name in Argilla's settings."""
    SearchEngine.register(environment.ENGINE)(SQLEngine)


@cache
def _pool() -> Any:
    # A pool of its own: a search holds a connection of Argilla's pool already, and if all waited for
    # a second one from the same pool, they would deadlock.
    return create_async_engine(settings.database_url, **settings.database_engine_args)


async def _rows(query: Any) -> list[Any]:
    async with _pool().connect() as connection:
        return list((await connection.execute(query)).all())


class SQLEngine:
    """Searches the database."""

    @classmethod
    async def new_instance(cls) -> SQLEngine:
        """One per request; expensive parts are shared."""
        return cls()

    async def close(self) -> None:
        """Nothing to close: the pool of connections stays for the next request."""

    async def ping(self) -> bool:
        """Whether the database answers."""
        return bool(await _rows(select(1)))

    async def info(self) -> dict[str, Any]:
        """What the page on the server's state shows."""
        return {"name": environment.ENGINE, "database": _pool().dialect.name, "remembers_pages": True}

    async def search(
        self,
        dataset: Dataset,
        query: Any = None,
        filter: Any = None,  # noqa: A002
        sort: list[Any] | None = None,
        offset: int = 0,
        limit: int = 100,
        user_id: UUID | None = None,
    ) -> SearchResponses:
        """The ids of the records that pass, sorted; without a sort, by relevance times a random factor per user."""
        clauses, field = _typed(query)
        wanted = [Record.dataset_id == dataset.id, *_text_conditions(query, clauses, field)]
        if filter is not None:
            wanted.append(condition(filter, dataset.id))
        total = (await _rows(select(func.count()).select_from(Record).where(*wanted)))[0][0]
        if not (sort or clauses) and is_pending_view(filter):
            page = _worst_first(dataset, user_id)
        else:
            page = _sorted(sort, dataset) if sort else _scored(clauses, field, user_id)
        if user_id and not clauses and is_pending_view(filter):
            rows = await _next_cards(
                page.where(*wanted), wanted, (offset, limit), user_id, view_of(dataset, filter, sort)
            )
        else:
            rows = await _rows(page.where(*wanted).offset(offset).limit(limit))
        return SearchResponses(
            items=[SearchResponseItem(record_id=id_, score=score) for id_, score in rows], total=total
        )

    async def similarity_search(self, *_arguments: Any, **_options: Any) -> SearchResponses:
        """Refuse: vectors are stored but not searched."""
        raise UnprocessableEntityError("The embedded Argilla does not search by vectors; filter or sort by metadata.")

    async def get_dataset_progress(self, dataset: Dataset) -> dict[str, int]:
        """The number of records by status."""
        if dataset.is_draft:
            return {}
        statuses = select(Record.status, func.count()).where(Record.dataset_id == dataset.id)
        return _with_total(await _rows(statuses.group_by(Record.status)))

    async def get_dataset_user_progress(self, dataset: Dataset, user: Any) -> dict[str, int]:
        """The number of one person's responses by status."""
        if dataset.is_draft:
            return {}
        statuses = select(Response.status, func.count()).join(Record, Record.id == Response.record_id)
        statuses = statuses.where(Record.dataset_id == dataset.id, Response.user_id == user.id)
        return _with_total(await _rows(statuses.group_by(Response.status)))

    async def compute_metrics_for(self, metadata_property: MetadataProperty) -> Any:
        """What the filter panel shows of a metadata property: its terms and their counts, or its range."""
        values = values_of(MetadataFilterScope(metadata_property.name), metadata_property.dataset_id)
        rows = (Record, *values.sources)
        wanted = (Record.dataset_id == metadata_property.dataset_id, *values.conditions)
        if metadata_property.type == MetadataPropertyType.terms:
            return await _terms(values, rows, wanted)
        numbers = select(func.min(values.value), func.max(values.value)).select_from(*rows).where(*wanted)
        lowest, highest = (await _rows(numbers))[0]
        is_integer = metadata_property.type == MetadataPropertyType.integer
        return (IntegerMetadataMetrics if is_integer else FloatMetadataMetrics)(min=lowest, max=highest)

    async def _nothing_to_do(self, *_arguments: Any, **_options: Any) -> None:
        """Bring no index up to date: there is none beside the database."""

    create_index = delete_index = configure_metadata_property = configure_index_vectors = _nothing_to_do
    index_records = partial_record_update = delete_records = _nothing_to_do
    update_record_response = delete_record_response = _nothing_to_do
    update_record_suggestion = delete_record_suggestion = _nothing_to_do


async def _next_cards(page: Any, wanted: list[Any], span: tuple[int, int], user_id: UUID, view: str) -> list[Any]:
    """The pending records that a person's page asks for: after those that it holds, the first of all others."""
    offset, limit = span
    given = _pages.held(user_id, view) if offset else set()
    held = {row[0] for row in await _rows(select(Record.id).where(*wanted, Record.id.in_(given)))} if given else set()
    if goes_on(offset, len(held)):
        rows = await _rows(page.where(Record.id.not_in(held)).limit(limit))
    else:
        rows = await _rows(page.offset(offset).limit(limit))
    _pages.note(user_id, view, held | {row[0] for row in rows})
    return rows


def _typed(query: Any) -> tuple[list[textquery.Clause], str | None]:
    """The clauses of a text query, and the field that it is restricted to, if any."""
    if query is None:
        return [], None
    if isinstance(query, str):
        return textquery.parse(query), None
    return textquery.parse(query.q), query.field


def _text_conditions(query: Any, clauses: list[textquery.Clause], field: str | None) -> list[Any]:
    if query is None:
        return []
    if not clauses:
        return [false()]
    whole = _clause_condition(clauses[0], field)
    for clause in clauses[1:]:
        combine = or_ if clause.alternative else and_
        whole = combine(whole, _clause_condition(clause, field))
    return [whole]


def _clause_condition(clause: textquery.Clause, field: str | None) -> Any:
    if clause.unspaced:
        matches = Record.id.in_(sqlite.containing_records(clause.text, field))
    else:
        matches = Record.id.in_(sqlite.matching_records(clause.expression, field))
    return not_(matches) if clause.negated else matches


def _sorted(sort: list[Any], dataset: Dataset) -> Any:
    """Ids in the requested order; ties in order of insertion."""
    return select(Record.id, literal(None)).order_by(*order_by(sort, dataset.id), Record.inserted_at, Record.id)


def _worst_first(dataset: Dataset, user_id: UUID | None) -> Any:
    """Ids as a queue that was not asked for an order: the most suspect first, those without a rank by chance."""
    order = order_by([Order(MetadataFilterScope(name), SortOrder.asc) for name in QUEUE_ORDER], dataset.id)
    chance = [] if user_id is None else [sqlite.shuffle(user_id).desc()]
    return select(Record.id, literal(None)).order_by(*order, *chance, Record.inserted_at, Record.id)


def _scored(clauses: list[textquery.Clause], field: str | None, user_id: UUID | None) -> Any:
    """Ids by relevance times a random factor per user, so that annotators do not all start with the same records."""
    wanted = " OR ".join(clause.expression for clause in clauses if not (clause.negated or clause.unspaced))
    rows, score = Record.__table__, cast(literal(1.0), FloatType)
    if wanted:
        relevance = sqlite.relevance(wanted, field)
        rows, score = rows.outerjoin(relevance, relevance.c.record_id == Record.id), func.coalesce(relevance.c.score, 0)
    if user_id is not None:
        score *= sqlite.shuffle(user_id)
    if not wanted and user_id is None:
        return select(Record.id, score).order_by(Record.inserted_at, Record.id)
    return select(Record.id, score).select_from(rows).order_by(score.desc(), Record.inserted_at, Record.id)


def _with_total(counts: list[Any]) -> dict[str, int]:
    return {"total": sum(count for _, count in counts), **{status.value: count for status, count in counts}}


async def _terms(values: Any, rows: Any, wanted: Any) -> TermsMetrics:
    term = cast(values.value, StringType)
    counts = select(term, func.count().label("count")).select_from(*rows).where(*wanted).group_by(term)
    rows_by_term = await _rows(counts.order_by(func.count().desc(), term))
    terms = [TermsMetrics.TermCount(term=value, count=count) for value, count in rows_by_term]
    return TermsMetrics(total=sum(entry.count for entry in terms), values=terms)
