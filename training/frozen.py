"""A sentence encoder whose weights are kept (``MODEL:frozen``) or tuned on pairs (SetFit), and a linear head."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.encoder import cannot_load, hush
from training.head import Head, fit_head
from training.machine import has_gpu
from training.material import Material
from training.recipe import Recipe
from training.student import Floats

PAIRS_A_ROW = 20
"""SetFit's own default: so many equal and so many unequal pairs for each row."""


class FrozenStudent:
    """A SentenceTransformer and a head on its embeddings."""

    def __init__(self, body: Any, head: Head, label_names: tuple[str, ...]) -> None:
        self.label_names = label_names
        self.body, self.head = body, head

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K)."""
        if not texts:
            return np.empty((0, len(self.label_names)))
        return self.head.predict_proba(embed(self.body, texts))

    def save(self, directory: Path) -> None:
        """The layout of a sentence encoder on the Hub, and the head beside it."""
        self.body.save(str(directory), create_model_card=False, safe_serialization=True)
        self.head.save(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> FrozenStudent:
        """The student that was saved there."""
        return cls(_body(str(directory), local_files_only=True), Head.load(directory), label_names)


def fit_frozen(material: Material, label_names: tuple[str, ...], recipe: Recipe) -> FrozenStudent:
    """Fit a head on the embeddings of a pretrained encoder.

    Raises
    ------
    StudentError
        When the model cannot be had.
    """
    return _with_head(new_body(recipe), material, label_names, recipe)


def fit_setfit(
    material: Material, label_names: tuple[str, ...], recipe: Recipe, work: Path, progress: Callable[[str], None]
) -> FrozenStudent:
    """Tune an encoder on pairs of equal and unequal labels (Tunstall et al. 2022), then fit the head.

    Only SetFit's training of the encoder is used; the head is ours, so that it is saved with every
    student and without pickle. With a single label there are no unequal pairs: the encoder stays as it is.
    """
    if len(np.unique(material.labels)) < 2:
        progress("all rows have one label: the encoder is not tuned")
        return fit_frozen(material, label_names, recipe)
    from setfit import SetFitModel, Trainer, TrainingArguments
    from transformers import PrinterCallback, set_seed

    set_seed(recipe.seed)
    body = new_body(recipe)
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
    progress(f"tuning the encoder on {2 * PAIRS_A_ROW * len(material)} pairs")
    trainer.train_embeddings(list(material.texts), material.labels.tolist(), args=arguments)
    return _with_head(body, material, label_names, recipe)


def new_body(recipe: Recipe) -> Any:
    """A pretrained sentence encoder; any other encoder gets mean pooling."""
    try:
        body = _body(recipe.model, local_files_only=False)
    except (OSError, ValueError) as error:
        raise cannot_load(recipe.model, error) from None
    body.max_seq_length = min(recipe.max_length, body.max_seq_length or recipe.max_length)
    return body


def embed(body: Any, texts: Sequence[str]) -> Floats:
    """Embeddings of length 1, shape (N, D), rows in the order of ``texts``."""
    return np.asarray(body.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), dtype=np.float64)


def _body(name: str, *, local_files_only: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    hush()
    safe = {"use_safetensors": True}
    return SentenceTransformer(name, model_kwargs=safe, trust_remote_code=False, local_files_only=local_files_only)


def _with_head(body: Any, material: Material, label_names: tuple[str, ...], recipe: Recipe) -> FrozenStudent:
    features = embed(body, material.texts)
    head = fit_head(features, material.labels, len(label_names), weights=material.weights, balanced=recipe.balanced)
    return FrozenStudent(body, head, label_names)
