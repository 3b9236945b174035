"""A frozen sentence encoder with a linear head on its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.training.students.encoder import cannot_load, silence_transformers
from tutelage.training.students.head import Head, fit_head
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet

EMBEDDED_AT_ONCE = 256


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
        """Save in the layout of a sentence encoder on the Hub, with the head beside it."""
        self.body.save(str(directory), create_model_card=False, safe_serialization=True)
        self.head.save(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...]) -> FrozenStudent:
        """Load a saved student."""
        return cls(_body(str(directory), local_files_only=True), Head.load(directory), label_names)


def fit(
    recipe: Recipe, training_set: TrainingSet, label_names: tuple[str, ...], _work: Path, progress: ProgressCallback
) -> Fitted:
    """Fit a head on the embeddings of a pretrained encoder.

    Raises
    ------
    StudentError
        When the model cannot be loaded.
    """
    progress(Progress(f"loading {recipe.model}"))
    return Fitted(with_head(new_body(recipe), recipe, training_set, label_names, progress))


load = FrozenStudent.load


def new_body(recipe: Recipe) -> Any:
    """A pretrained sentence encoder; any other encoder gets mean pooling."""
    try:
        body = _body(recipe.model, local_files_only=False)
    except (OSError, ValueError) as error:
        raise cannot_load(recipe.model, error) from None
    body.max_seq_length = min(recipe.max_length, body.max_seq_length or recipe.max_length)
    return body


def embed(body: Any, texts: Sequence[str], progress: ProgressCallback = unreported) -> Floats:
    """Normalised embeddings, shape (N, D), in the order of ``texts``."""
    parts = []
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        progress(Progress("embedding", start, len(texts), "texts"))
        part = list(texts[start : start + EMBEDDED_AT_ONCE])
        parts.append(body.encode(part, normalize_embeddings=True, show_progress_bar=False))
    return np.asarray(np.concatenate(parts), dtype=np.float64)


def _body(name: str, *, local_files_only: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    silence_transformers()
    safe = {"use_safetensors": True}
    return SentenceTransformer(name, model_kwargs=safe, trust_remote_code=False, local_files_only=local_files_only)


def with_head(
    body: Any,
    recipe: Recipe,
    training_set: TrainingSet,
    label_names: tuple[str, ...],
    progress: ProgressCallback = unreported,
) -> FrozenStudent:
    """Fit a head on the embeddings of this encoder."""
    rows = training_set
    head = fit_head(
        embed(body, rows.texts, progress), rows.labels, len(label_names), weights=rows.weights, balanced=recipe.balanced
    )
    return FrozenStudent(body, head, label_names)
