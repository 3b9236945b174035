"""Uploads of students and snapshots to the Hugging Face Hub, private by default."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import cast

from tutelage.core.errors import TutelageError
from tutelage.core.task import Task
from tutelage.feedback.snapshot import DATA, MANIFEST, Snapshot
from tutelage.training.hub.dataset_card import without_names, write_dataset_card
from tutelage.training.hub.model_card import CARD
from tutelage.training.manifest import teachers_of
from tutelage.training.registry import SEEN, Entry

_KEPT_HERE = (SEEN, ".*", "exports/*", "tensorboard/*")
"""Not uploaded: hashes of the training texts, which ``evaluate`` needs, exports, which are recreated, and logs, which
name this machine."""


def check_repository_name(repo: str) -> None:
    """Refuse, before any work, an invalid name of a repository.

    Raises
    ------
    TutelageError
        With the Hub's rules.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, not in __all__

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise TutelageError(f"--push-to-hub {repo}: {error}") from None


def push_student(entry: Entry, repo: str, *, private: bool = True) -> str:
    """Upload a student's folder as a model; returns its URL.

    Raises
    ------
    TutelageError
        When the Hub cannot be reached, or refuses.
    """
    return _upload(entry.path, repo, "model", f"Student {entry.id}", private=private)


def push_snapshot(snapshot: Snapshot, task: Task, repo: str, *, private: bool = True) -> str:
    """Upload a snapshot as a dataset, without annotators' names and the server's address; returns its URL.

    Raises
    ------
    TutelageError
        When the Hub cannot be reached, or refuses.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without_names(snapshot.path / DATA, folder / "data" / "train.parquet")
        manifest = json.dumps(snapshot.public_manifest, ensure_ascii=False, indent=2)
        (folder / MANIFEST).write_text(manifest + "\n", "utf-8")
        write_dataset_card(folder / CARD, snapshot.manifest, task, teachers_of(task, snapshot))
        return _upload(folder, repo, "dataset", f"Snapshot {snapshot.id}", private=private)


def _upload(folder: Path, repo: str, kind: str, message: str, *, private: bool) -> str:
    """Create the repository where it is missing, and put the folder's files into one commit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    http_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])  # of the HTTP library in use
    disable_progress_bars()
    api = HfApi()
    try:
        address = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo_id,
            repo_type=kind,
            folder_path=folder,
            commit_message=message,
            ignore_patterns=list(_KEPT_HERE),
        )
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise _failed(
            repo, error, "sign in with 'hf auth login' or set HF_TOKEN to a token with write access"
        ) from None
    except (http_error, OSError, RuntimeError) as error:  # RuntimeError wraps an interrupted upload
        raise _failed(repo, error, f"check that {api.endpoint} can be reached") from None
    return str(address)


def _failed(repo: str, error: Exception, advice: str) -> TutelageError:
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return TutelageError(
        f"--push-to-hub {repo}: {reason}; {advice}. The result is kept on disk; run the same command again."
    )
