"""A frozen sentence encoder with a linear head on its embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints
from tutelage.core.records import Progress, ProgressCallback, unreported
from tutelage.training.encoders.loading import LOADING_ERRORS, SAFE, cannot_load, make_ready, silence_transformers
from tutelage.training.encoders.token_windows import averaged, check_windows, tokenised, window_counts
from tutelage.training.students.encoder import length_batches
from tutelage.training.students.head import Head, fit_head
from tutelage.training.students.recipe import Recipe
from tutelage.training.students.training_set import Fitted, TrainingSet

EMBEDDED_AT_ONCE = 256


class FrozenStudent:
    """A SentenceTransformer and a head on its embeddings, of the texts or of their windows."""

    def __init__(self, body: Any, head: Head, label_names: tuple[str, ...], *, windows: bool = False) -> None:
        self.label_names, self.windows = label_names, windows
        self.body, self.head = body, head

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K)."""
        if not texts:
            return np.empty((0, len(self.label_names)))
        embeddings, owners = embed_windows(self.body, texts, windows=self.windows)
        return averaged(self.head.predict_proba(embeddings), owners)

    def save(self, directory: Path) -> None:
        """Save in the layout of a sentence encoder on the Hub, with the head beside it."""
        self.body.save(str(directory), create_model_card=False, safe_serialization=True)
        self.head.save(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...], *, windows: bool = False) -> FrozenStudent:
        """Load a saved student."""
        body = _body(str(directory), local_files_only=True)
        return cls(body, Head.load(directory), label_names, windows=windows)


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
    except LOADING_ERRORS as error:
        raise cannot_load(recipe.model, error) from None
    if recipe.windows:
        check_windows(recipe.model, body.tokenizer)
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


def embed_windows(
    body: Any, texts: Sequence[str], progress: ProgressCallback = unreported, *, windows: bool
) -> tuple[Floats, Ints]:
    """Normalised embeddings, shape (M, D), and the text of each: one for each text, or with ``windows`` for each."""
    if not windows:
        return embed(body, texts, progress), np.arange(len(texts))
    tokens = tokenised(body.tokenizer, texts, int(body.max_seq_length), windows=True)
    return _embed_tokens(body, tokens.ids, progress), tokens.owners


def _embed_tokens(body: Any, ids: Sequence[Sequence[int]], progress: ProgressCallback) -> Floats:
    import torch

    embeddings, done = np.empty((len(ids), body.get_embedding_dimension())), 0
    body.eval()
    for rows in length_batches([len(sequence) for sequence in ids]):
        progress(Progress("embedding", done, len(ids), "windows"))
        batch = body.tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(body.device)
        with torch.inference_mode():
            states = body(dict(batch))["sentence_embedding"]
        embeddings[rows] = torch.nn.functional.normalize(states.float(), dim=-1).cpu().numpy()
        done += len(rows)
    return embeddings


def _body(name: str, *, local_files_only: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    silence_transformers()
    safe = {"use_safetensors": SAFE["use_safetensors"]}
    body = SentenceTransformer(name, model_kwargs=safe, trust_remote_code=False, local_files_only=local_files_only)
    make_ready(name, body.tokenizer, body[0].auto_model.config)
    return body


def with_head(
    body: Any,
    recipe: Recipe,
    training_set: TrainingSet,
    label_names: tuple[str, ...],
    progress: ProgressCallback = unreported,
) -> FrozenStudent:
    """Fit a head on the embeddings of this encoder."""
    rows, windows = training_set, recipe.windows
    embeddings, owners = embed_windows(body, rows.texts, progress, windows=windows)
    weights = (rows.weights / window_counts(owners))[owners]
    head = fit_head(embeddings, rows.labels[owners], len(label_names), weights=weights, balanced=recipe.balanced)
    return FrozenStudent(body, head, label_names, windows=windows)
