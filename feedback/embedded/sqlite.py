"""Everything that only SQLite understands: settings, JSON, the text index, an order by chance.

The text index has one row per record and field. Triggers keep it: they write in the transaction
that writes the record, so the index is right after a crash too, and no hook can forget it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from argilla_server.models import Record
from sqlalchemy import Float as FloatType
from sqlalchemy import case, cast, column, func, literal_column, select, table

JOURNAL_BYTES = 64 * 1024 * 1024
LAST_WAIT_MS = 2000  # for whoever reads or writes while the journal is emptied
PRIME = 2**31 - 1

TEXTS = table("search_texts", column("id"), column("record_id", Record.id.type), column("field"), column("text"))
MATCHES = table("search_matches", column("rowid"), column("rank"))

_CREATE = (
    # The texts that each record ought to have in the index: messages of a chat are joined, images are none.
    """CREATE VIEW IF NOT EXISTS search_record_texts AS
       SELECT records.id AS record_id, field.key AS field,
              CASE field.type
                  WHEN 'array' THEN (SELECT group_concat(json_extract(message.value, '$.content'), char(10))
                                     FROM json_each(field.value) AS message)
                  ELSE field.value
              END AS text
       FROM records, json_each(records.fields) AS field
       WHERE field.type <> 'null'
         AND NOT EXISTS (SELECT 1 FROM fields
                         WHERE fields.dataset_id = records.dataset_id AND fields.name = field.key
                           AND json_extract(fields.settings, '$.type') = 'image')""",
    """CREATE TABLE IF NOT EXISTS search_texts (
           id INTEGER PRIMARY KEY, record_id CHAR(32) NOT NULL, field VARCHAR NOT NULL, text TEXT)""",
    "CREATE INDEX IF NOT EXISTS search_texts_record_id ON search_texts (record_id)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS search_matches USING fts5(
           text, content='search_texts', content_rowid='id', tokenize='unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER IF NOT EXISTS search_text_added AFTER INSERT ON search_texts BEGIN
           INSERT INTO search_matches (rowid, text) VALUES (new.id, new.text);
       END""",
    """CREATE TRIGGER IF NOT EXISTS search_text_removed AFTER DELETE ON search_texts BEGIN
           INSERT INTO search_matches (search_matches, rowid, text) VALUES ('delete', old.id, old.text);
       END""",
    """CREATE TRIGGER IF NOT EXISTS search_record_added AFTER INSERT ON records BEGIN
           INSERT INTO search_texts (record_id, field, text)
           SELECT record_id, field, text FROM search_record_texts WHERE record_id = new.id;
       END""",
    """CREATE TRIGGER IF NOT EXISTS search_record_changed AFTER UPDATE OF fields ON records
       WHEN old.fields IS NOT new.fields BEGIN
           DELETE FROM search_texts WHERE record_id = old.id;
           INSERT INTO search_texts (record_id, field, text)
           SELECT record_id, field, text FROM search_record_texts WHERE record_id = new.id;
       END""",
    """CREATE TRIGGER IF NOT EXISTS search_record_removed AFTER DELETE ON records BEGIN
           DELETE FROM search_texts WHERE record_id = old.id;
       END""",
    # Records of a database that had no triggers yet.
    """INSERT INTO search_texts (record_id, field, text)
       SELECT record_id, field, text FROM search_record_texts
       WHERE record_id NOT IN (SELECT record_id FROM search_texts)""",
)

_DROP = (
    "DROP TRIGGER IF EXISTS search_record_added",
    "DROP TRIGGER IF EXISTS search_record_changed",
    "DROP TRIGGER IF EXISTS search_record_removed",
    "DROP TABLE IF EXISTS search_matches",
    "DROP TABLE IF EXISTS search_texts",
    "DROP VIEW IF EXISTS search_record_texts",
)


def configure_connection(connection: Any, _record: Any) -> None:
    """Readers beside one writer, and no wait for the disk at each commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
    cursor.close()


def empty_journal(connection: Any) -> None:
    """Move what the write-ahead log holds into the database file, as far as others who have it open let us."""
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {LAST_WAIT_MS}")
    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def create_text_index(connection: Any) -> None:
    """Create what is missing of the text index and fill in records that it lacks."""
    for statement in _CREATE:
        connection.exec_driver_sql(statement)


def drop_text_index(connection: Any) -> None:
    """Remove the text index and its triggers; `create_text_index` builds it again from the records."""
    for statement in _DROP:
        connection.exec_driver_sql(statement)


def members(document: Any, name: str) -> Any:
    """Rows ``(key, value, type)`` of a JSON object."""
    return func.json_each(document).table_valued("key", "value", "type", name=name, joins_implicitly=True)


def items(document: Any, name: str, path: str = "$") -> Any:
    """Rows ``(value, type)``: the items of a JSON list, or the one value that is no list."""
    return func.json_each(document, path).table_valued("value", "type", name=name, joins_implicitly=True)


def as_list(value: Any, kind: Any) -> Any:
    """The member of a JSON object as a JSON list; `kind` is its type."""
    return case(
        (kind == "array", value),
        (kind.in_(["true", "false"]), func.json_array(kind)),
        else_=func.json_array(value),
    )


def is_number(kind: Any) -> Any:
    """Whether a JSON value of type `kind` is a number."""
    return kind.in_(["integer", "real"])


def matching_records(expression: str, field: str | None) -> Any:
    """Ids of the records with a text, or that field's text, that matches an FTS5 expression."""
    matches = select(TEXTS.c.record_id).join(MATCHES, MATCHES.c.rowid == TEXTS.c.id)
    return _in_field(matches.where(_match(expression)), field)


def containing_records(part: str, field: str | None) -> Any:
    """Ids of the records with a text that contains `part` anywhere."""
    return _in_field(select(TEXTS.c.record_id).where(TEXTS.c.text.contains(part, autoescape=True)), field)


def relevance(expression: str, field: str | None) -> Any:
    """Rows ``(record_id, score)``: BM25, summed over a record's fields; more is better."""
    score = func.sum(-MATCHES.c.rank).label("score")
    hits = select(TEXTS.c.record_id, score).join(MATCHES, MATCHES.c.rowid == TEXTS.c.id)
    return _in_field(hits.where(_match(expression)), field).group_by(TEXTS.c.record_id).subquery()


def _match(expression: str) -> Any:
    return literal_column("search_matches").op("MATCH")(expression)


def _in_field(query: Any, field: str | None) -> Any:
    return query if field is None else query.where(TEXTS.c.field == field)


def shuffle(user_id: UUID) -> Any:
    """A number above 0 and up to 1 for each record: the same for a user each time, another for another user."""
    factor, shift = 1 + user_id.int % (PRIME - 1), user_id.int // PRIME % PRIME
    place = (literal_column("records.rowid") * factor + shift) % PRIME
    return (cast(place, FloatType) + 1) / PRIME
