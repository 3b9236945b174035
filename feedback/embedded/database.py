"""The database before Argilla opens it (SQLite's settings, migrations, the text index), and after its last request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import argilla_server
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from argilla_server.database import sync_engine
from sqlalchemy import event
from sqlalchemy.engine import Engine

from . import sqlite


def prepare() -> None:
    """Bring the database to the state that this Argilla and this search engine expect."""
    event.listen(Engine, "connect", sqlite.configure_connection)
    migrations = _migrations()
    with sync_engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != ScriptDirectory.from_config(migrations).get_current_head():
        _migrate(migrations)
    with sync_engine.begin() as connection:
        sqlite.create_text_index(connection)
    sync_engine.dispose()


def close() -> None:
    """Put everything into ``argilla.db`` itself, so that a copy of that one file lacks nothing.

    SQLite does so when the last connection is closed. Argilla closes none, and loses hold of one at its start.
    """
    with sync_engine.connect() as connection:
        sqlite.empty_journal(connection)
    sync_engine.dispose()


def _migrations() -> Any:
    # Without the file alembic.ini, whose section on logging would silence the server's log.
    config = Config()
    config.set_main_option("script_location", str(Path(argilla_server.__file__).parent / "alembic"))
    return config


def _migrate(migrations: Any) -> None:
    # A migration may rebuild the table of records, which our triggers hang on.
    with sync_engine.begin() as connection:
        sqlite.drop_text_index(connection)
    command.upgrade(migrations, "head")
