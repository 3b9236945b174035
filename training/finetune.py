"""Fine-tuning of an encoder through transformers' Trainer: early stopping, resume, several devices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.encoder import EncoderStudent, has_gpu, new_encoder
from training.material import Material
from training.metrics import confusion, macro_f1
from training.recipe import Recipe
from training.student import Floats

STATE = "trainer_state.json"
"""What the Trainer writes last into a checkpoint."""


def finetune(
    material: Material,
    validation: Material | None,
    label_names: tuple[str, ...],
    recipe: Recipe,
    work: Path,
    progress: Callable[[str], None] = lambda _words: None,
) -> tuple[EncoderStudent, dict[str, Any]]:
    """Train all weights of an encoder; returns the student of the best epoch, and what the run was like.

    Checkpoints go to ``work``; after a kill the same call goes on from the last whole one. With
    no validation rows all epochs are trained.
    """
    from transformers import set_seed

    set_seed(recipe.seed)
    student = new_encoder(recipe.model, label_names, recipe.max_length)
    trainer = _trainer(student, material, validation, recipe, work)
    trainer.add_callback(_progress_callback(progress))
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(work))
    return student, _story(trainer, validation)


def last_whole_checkpoint(work: Path) -> str | None:
    """The newest checkpoint; those that a kill cut short are removed."""
    whole = []
    for path in work.glob("checkpoint-*"):
        if (path / STATE).exists():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _trainer(
    student: EncoderStudent, material: Material, validation: Material | None, recipe: Recipe, work: Path
) -> Any:
    from transformers import DataCollatorWithPadding, EarlyStoppingCallback, PrinterCallback, Trainer

    trainer = Trainer(
        model=student.model,
        args=_arguments(recipe, work, validates=validation is not None),
        train_dataset=_dataset(student, material, recipe),
        eval_dataset=_dataset(student, validation, recipe) if validation else None,
        data_collator=DataCollatorWithPadding(student.tokenizer),
        processing_class=student.tokenizer,
        compute_loss_func=weighted_cross_entropy,
        compute_metrics=_validation_metrics,
        callbacks=[EarlyStoppingCallback(recipe.patience)] if validation else [],
    )
    trainer.remove_callback(PrinterCallback)  # standard output is the command's
    return trainer


def _arguments(recipe: Recipe, work: Path, *, validates: bool) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=4 * recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        num_train_epochs=recipe.epochs,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        train_sampling_strategy="group_by_length",  # less padding; it shuffles Trainer.predict, which nobody calls
        bf16=has_bf16(),
        use_cpu=has_bf16() and not has_gpu(),  # bf16 without a GPU has to be asked for
        eval_strategy="epoch" if validates else "no",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=validates,
        metric_for_best_model="macro_f1" if validates else None,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=has_gpu(),
        label_names=["labels"],
    )


def has_bf16() -> bool:
    """Whether the GPU, or without one the processor, computes in bf16 itself."""
    import torch

    if has_gpu():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))


def _dataset(student: EncoderStudent, material: Material, recipe: Recipe) -> list[dict[str, Any]]:
    """Tokens, and as labels each row's targets times its weight: every option is one and the same loss."""
    tokens = student.tokenizer(list(material.texts), truncation=True, max_length=student.max_length)
    labels = material.targets * row_weights(material, balanced=recipe.balanced)[:, None]
    columns = {**tokens, "labels": labels.astype(np.float32).tolist()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def row_weights(material: Material, *, balanced: bool) -> Floats:
    """Weights of shape (N,); with ``balanced`` each label weighs the same in sum. Mean 1."""
    weights = material.weights
    if balanced:
        per_label = np.bincount(material.labels, weights)
        weights = weights / per_label[material.labels]
    return np.asarray(weights / weights.mean())


def weighted_cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Cross-entropy against weighted targets, shape (B, K), as a mean over rows.

    ``num_items_in_batch`` counts the targets of a whole accumulated batch: K for each row.
    """
    from torch.nn.functional import log_softmax

    total = -(labels * log_softmax(outputs["logits"].float(), dim=-1)).sum()
    rows = labels.shape[0] if num_items_in_batch is None else num_items_in_batch / labels.shape[1]
    return total / rows


def _validation_metrics(prediction: Any) -> dict[str, float]:
    gold, said = prediction.label_ids.argmax(axis=1), prediction.predictions.argmax(axis=1)
    matrix = confusion(gold, said, prediction.label_ids.shape[1])
    return {"macro_f1": macro_f1(matrix), "accuracy": float((gold == said).mean())}


def _story(trainer: Any, validation: Material | None) -> dict[str, Any]:
    epochs = [entry for entry in trainer.state.log_history if "eval_macro_f1" in entry]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "epochs": round(trainer.state.epoch or 0, 2),
        "validation_rows": len(validation) if validation else 0,
        "validation_macro_f1": [round(entry["eval_macro_f1"], 4) for entry in epochs],
        "loss": [round(loss, 4) for loss in losses],
        "bf16": bool(trainer.args.bf16),
        "devices": trainer.args.world_size * max(1, trainer.args.n_gpu),
    }


def _progress_callback(progress: Callable[[str], None]) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            progress(f"step {state.global_step} of {state.max_steps}, epoch {state.epoch:.1f}")

    return Progress()
