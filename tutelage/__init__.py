"""tutelage turns an LLM's labels into a small model that people can trust.

import tutelage

project = tutelage.Project("news")
project.pull()
project.train("linear")
project.predict(["Profit rose."])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tutelage.core import __version__
from tutelage.core.errors import (
    LedgerError,
    ServerError,
    SettingsError,
    SnapshotError,
    SourceError,
    StudentError,
    TaskError,
    TeacherError,
    TutelageError,
)

if TYPE_CHECKING:
    from tutelage.core.records import Progress
    from tutelage.project import Project

__all__ = [
    "LedgerError",
    "Progress",
    "Project",
    "ServerError",
    "SettingsError",
    "SnapshotError",
    "SourceError",
    "StudentError",
    "TaskError",
    "TeacherError",
    "TutelageError",
    "__version__",
]

_LAZY = {"Progress": "tutelage.core.records", "Project": "tutelage.project"}


def __getattr__(name: str) -> Any:
    """Import the front door when somebody walks through it."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
