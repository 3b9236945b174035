"""Puts the embedded Argilla's search engine in Elasticsearch's place, in every Python process of this image.

It was written for SQLite; here it gets an order that PostgreSQL understands, and no search for words. Its health
is that of the service in Elasticsearch's place, so that address and password are tried as in earnest.
"""

import os
import sys

if os.environ.get("ARGILLA_SEARCH_ENGINE") == "sql" and "argilla_server" in " ".join(sys.orig_argv):
    sys.path.insert(0, "/opt/embedded")
    import serve

    serve.become_package()

    import httpx
    from argilla_server.models import Record
    from argilla_server.search_engine import SearchEngine, SearchResponseItem, SearchResponses
    from embedded_argilla import conditions, environment, search
    from sqlalchemy import func, literal, select

    @SearchEngine.register(environment.ENGINE)
    class OnPostgres(search.SQLEngine):
        """Filters by the status of responses, sorts by numbers of the metadata."""

        async def ping(self):
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{os.environ['ARGILLA_ELASTICSEARCH']}/_cluster/health")
            return answer.raise_for_status().is_success

        async def search(self, dataset, query=None, filter=None, sort=None, offset=0, limit=100, user_id=None):
            wanted = [Record.dataset_id == dataset.id]
            if filter is not None:
                wanted.append(conditions.condition(filter, dataset.id))
            order = [Record.metadata_[one.scope.metadata_property].as_float().nulls_last() for one in sort or ()]
            page = select(Record.id, literal(None)).where(*wanted).order_by(*order, Record.inserted_at, Record.id)
            rows = await search._rows(page.offset(offset).limit(limit))
            total = (await search._rows(select(func.count()).select_from(Record).where(*wanted)))[0][0]
            return SearchResponses(
                items=[SearchResponseItem(record_id=one, score=None) for one, _ in rows], total=total
            )
