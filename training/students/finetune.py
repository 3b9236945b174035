"""Fine-tuning of an encoder through transformers' Trainer: early stopping, resume, several devices."""

from __future__ import annotations

import gc
import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax
from tutelage.core.compute import batch_size_per_process, has_bf16, has_gpu, process_count
from tutelage.core.errors import StudentError
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.training.encoders.token_windows import averaged, window_counts
from tutelage.training.measures.metrics import confusion, macro_f1
from tutelage.training.runs.checkpoints import LOGGED_STEPS, STATE, ended_with, last_complete_checkpoint, run_callback
from tutelage.training.runs.loss_curve import curve_of
from tutelage.training.runs.trackers import Tracker, import_integrations, reporting
from tutelage.training.students.encoder import EncoderStudent, new_encoder
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet, split_validation

NOT_IN_BF16 = frozenset({"deberta"})
"""Kinds of models whose attention mask overflows in mixed precision; DeBERTa-v2 and v3 are ``deberta-v2``."""


def fit(
    recipe: Recipe,
    training_set: TrainingSet,
    label_names: tuple[str, ...],
    work: Path,
    progress: ProgressCallback,
    *,
    tracker: Tracker | None = None,
) -> Fitted:
    """Split off validation rows, and train on the others."""
    rest, validation = split_validation(training_set, recipe.validation, recipe.seed)
    return finetune(rest, validation, label_names, recipe, work, progress, tracker=tracker)


load = EncoderStudent.load


def finetune(
    training_set: TrainingSet,
    validation: TrainingSet | None,
    label_names: tuple[str, ...],
    recipe: Recipe,
    work: Path,
    progress: ProgressCallback = unreported,
    *,
    tracker: Tracker | None = None,
) -> Fitted:
    """Fine-tune all weights of an encoder; returns the student of the best epoch, and a log of the run.

    Checkpoints go to ``work``; after a kill the same call resumes from the last complete one.
    Without validation rows all epochs are trained. When the GPU runs out of memory, the batch size
    is halved and gradient accumulation doubled.

    Raises
    ------
    StudentError
        When the model cannot be loaded, or the GPU's memory is too small for it.
    """
    from torch import OutOfMemoryError, cuda

    batch_size_per_process(recipe.batch_size)  # raises before the model is loaded
    while True:
        with suppress(OutOfMemoryError):
            return _finetune(training_set, validation, label_names, recipe, work, progress, tracker)
        recipe = halved(recipe)
        smaller = f"--batch-size {recipe.batch_size} --accumulate {recipe.accumulate}"
        progress(Progress(f"out of GPU memory: continuing with {smaller}"))
        gc.collect()  # the Trainer is a reference cycle
        cuda.empty_cache()


def halved(recipe: Recipe) -> Recipe:
    """The same training with half the batch size; not in distributed training, where all processes would have to."""
    if process_count() > 1 or recipe.batch_size % 2:
        raise StudentError(
            f"--batch-size {recipe.batch_size}: out of GPU memory; use a smaller --batch-size"
            " with a larger --accumulate (8 and 2 are equivalent to 16 and 1), or a smaller --max-length"
        )
    return replace(recipe, batch_size=recipe.batch_size // 2, accumulate=2 * recipe.accumulate)


def _finetune(
    training_set: TrainingSet,
    validation: TrainingSet | None,
    label_names: tuple[str, ...],
    recipe: Recipe,
    work: Path,
    progress: ProgressCallback,
    tracker: Tracker | None,
) -> Fitted:
    import_integrations()
    from transformers import TrainerState, set_seed

    set_seed(recipe.seed)
    progress(Progress(f"loading {recipe.model}"))
    student = new_encoder(recipe.model, label_names, recipe.max_length, windows=recipe.windows)
    trainer = _trainer(student, training_set, validation, recipe, work)
    trainer.add_callback(run_callback(progress))
    checkpoint = last_complete_checkpoint(work)
    if checkpoint and ended_with(checkpoint):  # the Trainer would continue training
        trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
        best = trainer.state.best_global_step
        student.model = EncoderStudent.load(work / f"checkpoint-{best}" if best else checkpoint, label_names).model
    else:
        with reporting(trainer, tracker, work):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        # Without mixed precision, so that it predicts as it will when it is loaded again.
        student.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return Fitted(student, validation, _training_log(trainer, validation), curve_of(trainer.state.log_history))


def _trainer(
    student: EncoderStudent, training_set: TrainingSet, validation: TrainingSet | None, recipe: Recipe, work: Path
) -> Any:
    from transformers import DataCollatorWithPadding, EarlyStoppingCallback, PrinterCallback, Trainer

    rows, _ = _dataset(student, training_set, recipe)
    validation_rows, owners = _dataset(student, validation, recipe) if validation else (None, np.empty(0, dtype=int))
    trainer = Trainer(
        model=student.model,
        args=_arguments(recipe, work, validates=validation is not None, model_type=student.model.config.model_type),
        train_dataset=rows,
        eval_dataset=validation_rows,
        data_collator=DataCollatorWithPadding(student.tokenizer),
        processing_class=student.tokenizer,
        compute_loss_func=weighted_cross_entropy,
        compute_metrics=partial(_validation_metrics, owners=owners),
        preprocess_logits_for_metrics=_logits_only,
        callbacks=[EarlyStoppingCallback(recipe.patience)] if validation else [],
    )
    trainer.remove_callback(PrinterCallback)  # standard output is the command's
    return trainer


def _arguments(recipe: Recipe, work: Path, *, validates: bool, model_type: str = "") -> Any:
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=recipe.batch_size,  # global batch size: split_batches
        per_device_eval_batch_size=4 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.epochs,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        # Less padding; but the validation rows are shuffled too, and windows are averaged by their order.
        train_sampling_strategy="random" if recipe.windows else "group_by_length",
        bf16=has_bf16() and model_type not in NOT_IN_BF16,
        use_cpu=not has_gpu() and (has_bf16() or process_count() > 1),  # without a GPU, both need it
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        save_total_limit=2,  # with 1 the Trainer removes the last one, whose state says that training has ended
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=validates,
        metric_for_best_model="macro_f1" if validates else None,
        logging_steps=LOGGED_STEPS,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=has_gpu(),
        label_names=["labels"],
        accelerator_config={"split_batches": True},
    )
    # One GPU per process: with several each would take a whole batch, and transformers has no option for it.
    arguments._n_gpu = min(1, arguments.n_gpu)  # noqa: SLF001
    return arguments


def _dataset(student: EncoderStudent, training_set: TrainingSet, recipe: Recipe) -> tuple[list[dict[str, Any]], Ints]:
    """Windows of tokens, and the text of each.

    Their labels are the text's targets times its sample weight, so that one loss covers all options.
    """
    tokens = student.tokenise(training_set.texts)
    weights = window_weights(sample_weights(training_set, balanced=recipe.balanced), tokens.owners)
    labels = (training_set.targets[tokens.owners] * weights[:, None]).astype(np.float32).tolist()
    rows = [{"input_ids": ids, "labels": row} for ids, row in zip(tokens.ids, labels, strict=True)]
    return rows, tokens.owners


def sample_weights(training_set: TrainingSet, *, balanced: bool) -> Floats:
    """Sample weights of shape (N,) with mean 1; ``balanced`` applies balanced class weights."""
    weights = training_set.weights
    if balanced:
        per_label = np.bincount(training_set.labels, weights)
        weights = weights / per_label[training_set.labels]
    return np.asarray(weights / weights.mean())


def window_weights(weights: Floats, owners: Ints) -> Floats:
    """Shape (M,), with mean 1, from the sample weights of N texts: the windows of a text share its weight."""
    counts = window_counts(owners)
    if len(counts) == len(owners):
        return weights
    shares = (weights / counts)[owners]
    return np.asarray(shares / shares.mean())


def weighted_cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Cross-entropy with weighted targets of shape (B, K), as a mean over rows.

    ``num_items_in_batch`` counts the targets of a whole accumulated batch: K per row.
    """
    from torch.nn.functional import log_softmax

    total = -(labels * log_softmax(outputs["logits"].float(), dim=-1)).sum()
    rows = labels.shape[0] if num_items_in_batch is None else num_items_in_batch / labels.shape[1]
    return total / rows


def _logits_only(outputs: Any, _labels: Any) -> Any:
    """The logits alone, of a model that gives more, such as BART."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _validation_metrics(prediction: Any, owners: Ints) -> dict[str, float]:
    """Of texts, whose windows are averaged as in prediction."""
    firsts = np.unique(owners, return_index=True)[1]
    gold = prediction.label_ids[firsts].argmax(axis=1)
    predictions = averaged(softmax(prediction.predictions), owners).argmax(axis=1)
    matrix = confusion(gold, predictions, prediction.label_ids.shape[1])
    return {"macro_f1": macro_f1(matrix), "accuracy": float((gold == predictions).mean())}


def _training_log(trainer: Any, validation: TrainingSet | None) -> dict[str, Any]:
    epochs = [entry for entry in trainer.state.log_history if "eval_macro_f1" in entry]
    return {
        "epochs": round(trainer.state.epoch or 0, 2),
        "validation_rows": len(validation) if validation else 0,
        "validation_macro_f1": [round(entry["eval_macro_f1"], 4) for entry in epochs],
        "loss": [round(loss, 4) for loss in _epoch_losses(trainer.state.log_history)],
        "bf16": bool(trainer.args.bf16),
        "devices": trainer.args.world_size * max(1, trainer.args.n_gpu),
    }


def _epoch_losses(log: list[dict[str, Any]]) -> list[float]:
    """The mean training loss of each epoch, from the means over the steps between two logs."""
    total: dict[int, float] = {}
    steps: dict[int, int] = {}
    before = 0
    for entry in (entry for entry in log if "loss" in entry):
        epoch, count, before = math.ceil(entry["epoch"]), entry["step"] - before, entry["step"]
        total[epoch] = total.get(epoch, 0.0) + count * entry["loss"]
        steps[epoch] = steps.get(epoch, 0) + count
    return [total[epoch] / steps[epoch] for epoch in total]
