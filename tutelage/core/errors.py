"""Every error that a user can cause or meet, and nothing else.

    TutelageError           one message, exit status 1, no traceback
    ├── TaskError           task.yaml or the task directory cannot be used
    ├── SourceError         a file of texts, votes or gold cannot be read
    ├── LedgerError         task.db cannot be used (newer schema, locked, damaged)
    ├── ServerError         Argilla: not running, unreachable, refused, answered with an error
    │   └── SettingsError   the dataset on Argilla no longer fits the task
    ├── TeacherError        a teacher cannot be asked: key, model, address, prompt, price, or another run
    ├── SnapshotError       a snapshot is missing or has no rows to train on
    └── StudentError        a student cannot be trained, loaded or used

A message says what failed, where (file, line, row, id) and what to do next.
Any other exception is a bug of ours and keeps its traceback.
"""


class TutelageError(Exception):
    """Base class of all expected errors; ``str()`` of it is what the user reads."""


class TaskError(TutelageError):
    """The task file or the task directory cannot be used."""


class SourceError(TutelageError):
    """A file of texts, votes or gold cannot be read."""


class LedgerError(TutelageError):
    """``task.db`` cannot be used."""


class ServerError(TutelageError):
    """An Argilla server is not running, not reachable, or answered with an error."""


class SettingsError(ServerError):
    """The dataset on the Argilla server no longer fits the task file."""


class TeacherError(TutelageError):
    """A teacher cannot be asked."""


class SnapshotError(TutelageError):
    """A snapshot is missing or cannot be trained on."""


class StudentError(TutelageError):
    """A student cannot be trained, loaded or used."""
