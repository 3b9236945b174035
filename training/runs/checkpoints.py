"""Checkpoints of a training run: after each epoch, and within an epoch every few minutes."""

from __future__ import annotations

import base64
import json
import shutil
import time
from pathlib import Path
from typing import Any

from tutelage.core.compute import is_main, main_decides
from tutelage.core.records import CHECKPOINT_SAVED, Progress, ProgressCallback

WITHIN_EPOCH_S = 300.0
"""Seconds from one checkpoint to the next within an epoch."""

LOGGED_STEPS = 10
"""Steps from one log of the loss to the next; within an epoch a checkpoint is written only with a log."""

STATE = "trainer_state.json"
"""The file that the Trainer writes last into a checkpoint."""


def last_complete_checkpoint(work: Path) -> Path | None:
    """The newest complete checkpoint; the main process removes those that a kill cut short."""
    complete = []
    for path in work.glob("checkpoint-*"):
        if _state_of(path):
            complete.append(path)
        elif is_main():
            shutil.rmtree(path)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def ended_with(checkpoint: Path) -> bool:
    """Whether training ended with this checkpoint, by early stopping or after all epochs."""
    return bool(_state_of(checkpoint)["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"])


def _state_of(checkpoint: Path) -> dict[str, Any]:
    """What its last file says; empty where a kill left none, or a part of it."""
    try:
        return dict(json.loads((checkpoint / STATE).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def run_callback(progress: ProgressCallback) -> Any:
    """A Trainer's callback: tells how far it is, and asks for logs and for checkpoints within an epoch.

    A training that resumes within an epoch shuffles as that epoch did: the checkpoint keeps the state of torch's
    generator at the epoch's begin. The loss since the last log is in no checkpoint, hence the log with each.
    """
    import torch
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    class Run(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers ships no types
        epoch_began_with = ""

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"epoch_began_with": self.epoch_began_with}}

        def on_train_begin(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
            self._saved_at = time.monotonic()

        def on_epoch_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if _within_epoch(state):
                torch.set_rng_state(_decoded(self.epoch_began_with))
            self.epoch_began_with = _encoded(torch.get_rng_state())

        def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(Progress(f"training, epoch {state.epoch:.1f}", state.global_step, state.max_steps, "steps"))
            if control.should_log and _within_epoch(state):
                control.should_save = main_decides(time.monotonic() - self._saved_at >= WITHIN_EPOCH_S)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_log = True
            torch.manual_seed(args.seed + state.global_step)  # all processes shuffle alike

        def on_save(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
            self._saved_at = time.monotonic()
            progress(CHECKPOINT_SAVED)

    return Run()


def _within_epoch(state: Any) -> bool:
    """Whether steps of an epoch are done, and others of it are not."""
    return not float(state.epoch or 0).is_integer()


def _encoded(generator: Any) -> str:
    return base64.b64encode(generator.numpy().tobytes()).decode()


def _decoded(text: str) -> Any:
    import torch

    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
