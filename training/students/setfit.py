"""SetFit: a sentence encoder fine-tuned on pairs of texts, and a linear head on its embeddings."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.compute import batch_size_per_process, has_gpu
from tutelage.core.records import Progress, ProgressCallback
from tutelage.training.students import frozen
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet

PAIRS_A_ROW = 20
"""SetFit's default: positive pairs, and as many negative pairs, for each row."""


def fit(
    recipe: Recipe, training_set: TrainingSet, label_names: tuple[str, ...], work: Path, progress: ProgressCallback
) -> Fitted:
    """Fine-tune an encoder on positive and negative pairs (Tunstall et al. 2022), then fit the head.

    SetFit trains the encoder only; the head is ours, so that it is saved without pickle. With a
    single label there are no negative pairs, and the encoder is not fine-tuned.
    """
    recipe = replace(recipe, batch_size=batch_size_per_process(recipe.batch_size))
    if len(np.unique(training_set.labels)) < 2:
        progress(Progress("all rows have the same label: the encoder is not fine-tuned"))
        return frozen.fit(recipe, training_set, label_names, work, progress)
    body = tuned_body(recipe, training_set, work, progress)
    return Fitted(frozen.with_head(body, recipe, training_set, label_names, progress))


load = frozen.load


def steps_callback(progress: ProgressCallback) -> Any:
    """Tells after each step how many are done."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            progress(Progress("fine-tuning the encoder", state.global_step, state.max_steps, "steps"))

    return Steps()


def tuned_body(recipe: Recipe, training_set: TrainingSet, work: Path, progress: ProgressCallback) -> Any:
    """The encoder after contrastive training on pairs."""
    from setfit import SetFitModel, Trainer, TrainingArguments
    from transformers import PrinterCallback, set_seed

    set_seed(recipe.seed)
    body = frozen.new_body(recipe)
    arguments = TrainingArguments(
        output_dir=str(work),
        batch_size=recipe.batch_size,
        num_epochs=1,
        num_iterations=PAIRS_A_ROW,
        seed=recipe.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    trainer = Trainer(SetFitModel(body, multi_target_strategy=None), arguments)
    logging.getLogger("setfit").setLevel(logging.WARNING)
    trainer.st_trainer.remove_callback(PrinterCallback)  # standard output is the command's
    trainer.st_trainer.args.dataloader_pin_memory = has_gpu()
    trainer.st_trainer.args._n_gpu = min(1, trainer.st_trainer.args.n_gpu)  # noqa: SLF001  # as in finetune
    trainer.st_trainer.add_callback(steps_callback(progress))
    progress(Progress(f"fine-tuning the encoder on {2 * PAIRS_A_ROW * len(training_set)} pairs"))
    trainer.train_embeddings(list(training_set.texts), training_set.labels.tolist(), args=arguments)
    return body
