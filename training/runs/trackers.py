"""Trackers: TensorBoard, MLflow and Weights & Biases, through transformers' own callbacks, and only where asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage.core.errors import StudentError

TRACKERS = ("tensorboard", "mlflow", "wandb")
"""The values of ``--report-to``, which are also the names of the libraries."""

TENSORBOARD = "tensorboard"
"""The folder of TensorBoard's logs, in a student's folder and in that of a run."""


@dataclass(frozen=True)
class Tracker:
    """A library, and the name of the run there.

    Raises
    ------
    StudentError
        When the library is unknown or not installed.
    """

    library: str
    run: str

    def __post_init__(self) -> None:
        if self.library not in TRACKERS:
            raise StudentError(f"--report-to {self.library}: is not known; use one of {', '.join(TRACKERS)}")
        if find_spec(self.library) is None:
            raise StudentError(
                f"--report-to {self.library}: {self.library} is not installed; install it with:"
                f" pip install {self.library}"
            )


def import_integrations() -> None:
    """Import transformers' callbacks first here: with ``WANDB_MODE=offline`` that prints, and not on standard error."""
    with redirect_stdout(sys.stderr):
        import_module("transformers.integrations.integration_utils")


@contextmanager
def reporting(trainer: Any, tracker: Tracker | None, work: Path) -> Iterator[None]:
    """While the block runs, the Trainer's logs go to this tracker too.

    TensorBoard's lie in ``work``, where a killed run's stay and the next one goes on; MLflow and Weights & Biases
    put theirs where their own settings say.
    """
    if tracker is None:
        yield
        return
    trainer.args.run_name = tracker.run
    trainer.add_callback(_callback(tracker, work))
    began = _wandb_run()
    try:
        yield
    finally:
        if tracker.library == "wandb" and began is None and _wandb_run() is not None:
            _wandb().finish()  # the next training has a run of its own


def _callback(tracker: Tracker, work: Path) -> Any:
    from transformers import integrations

    if tracker.library == "mlflow":
        return integrations.MLflowCallback()
    if tracker.library == "wandb":
        return integrations.WandbCallback()
    callback = integrations.TensorBoardCallback()
    callback.logging_dir = str(work / TENSORBOARD)
    return callback


def _wandb() -> Any:
    """The library, where it has been imported."""
    return sys.modules.get("wandb")


def _wandb_run() -> Any:
    return getattr(_wandb(), "run", None)
