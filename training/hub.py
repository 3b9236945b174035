"""Students and snapshots on the Hugging Face Hub, private unless asked otherwise."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from feedback.snapshot import DATA, Snapshot
from training.card import CARD
from training.dataset_card import without_names, write_dataset_card
from training.registry import Entry
from training.train import SEEN
from tutelage.errors import TutelageError
from tutelage.task import Task

_KEPT_HERE = (SEEN, ".*", "exports/*")
"""Hashes of the training texts are for ``evaluate``; exports are made anew where the student runs."""


def push_student(entry: Entry, repo: str, *, private: bool = True) -> str:
    """Upload a student's folder as a model; returns its address.

    Raises
    ------
    TutelageError
        When the Hub cannot be reached or refuses.
    """
    return _upload(entry.path, repo, "model", f"Student {entry.id}", private=private)


def push_snapshot(snapshot: Snapshot, task: Task, repo: str, *, private: bool = True) -> str:
    """Upload a snapshot as a dataset, annotators' names left out; returns its address.

    Raises
    ------
    TutelageError
        When the Hub cannot be reached or refuses.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without_names(snapshot.path / DATA, folder / "data" / "train.parquet")
        shutil.copy(snapshot.path / "manifest.json", folder)
        write_dataset_card(folder / CARD, snapshot.manifest, task)
        return _upload(folder, repo, "dataset", f"Snapshot {snapshot.id}", private=private)


def _upload(folder: Path, repo: str, kind: str, message: str, *, private: bool) -> str:
    """Create the repository where it is missing, and put the folder's files into one commit."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

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
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, httpx.HTTPError, RuntimeError) as error:
        # RuntimeError is what an upload that broke off is wrapped in
        reason = str(error).strip().splitlines()[0]
        raise TutelageError(
            f"--push-to-hub {repo}: {reason}. Sign in with 'hf auth login' or set HF_TOKEN, with the right to write;"
            " nothing is lost, run it again."
        ) from None
    return str(address)
