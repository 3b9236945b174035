"""Embeddings of texts by a frozen encoder, kept by text key, so that each text is embedded once for all folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats
from tutelage.core.files import make_folder, replacing
from tutelage.core.records import ProgressCallback, unreported
from tutelage.training.out_of_sample.kept_folds import MOST_BYTES
from tutelage.training.students.frozen import embed, new_body
from tutelage.training.students.recipe import Recipe, digest

_SAMPLE = 64
_KEPT_AFTER = 5_000
"""Texts after which the new embeddings are kept: a run that was ended goes on from there."""


@dataclass(frozen=True)
class Embeddings:
    """The embeddings that one encoder made, in a file of ``folder``; ``versions`` are those of the libraries."""

    folder: Path
    recipe: Recipe
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def _file(self) -> Path:
        made_by = digest([self.recipe.model, self.recipe.max_length, dict(self.versions)])
        return self.folder / f"embeddings-{made_by}.npz"

    @cached_property
    def _body(self) -> Any:
        return new_body(self.recipe)

    def of(self, keys: Sequence[str], texts: Sequence[str], progress: ProgressCallback = unreported) -> Floats:
        """Float32 of shape (N, D); those that are new are computed and kept."""
        known, vectors = self._kept()
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        texts_of = list(new.values())
        for start in range(0, len(new), _KEPT_AFTER):
            made = embed(self._body, texts_of[start : start + _KEPT_AFTER], progress).astype(np.float32)
            vectors = np.concatenate([vectors, made]) if len(vectors) else made
            known |= {key: len(known) + place for place, key in enumerate(list(new)[start : start + _KEPT_AFTER])}
            self._keep(list(known), vectors)
        found: Floats = vectors[[known[key] for key in keys]]
        return found

    def seconds(self, keys: Sequence[str], texts: Sequence[str]) -> float:
        """About how long those will take that are not kept yet, by a sample of them, which then is."""
        known = self._kept()[0]
        new = [row for row, key in enumerate(keys) if key not in known]
        sample = new[:: max(1, len(new) // _SAMPLE)][:_SAMPLE]
        if not sample:
            return 0.0
        _ = self._body  # loading it is no part of the cost of a text
        began = time.monotonic()
        self.of([keys[row] for row in sample], [texts[row] for row in sample])
        return (time.monotonic() - began) / len(sample) * (len(new) - len(sample))

    def _kept(self) -> tuple[dict[str, int], Any]:
        try:
            with np.load(self._file, allow_pickle=False) as arrays:
                return {str(key): row for row, key in enumerate(arrays["keys"])}, arrays["vectors"]
        except (OSError, ValueError, KeyError, EOFError):
            return {}, np.empty((0, 0), dtype=np.float32)

    def _keep(self, keys: Sequence[str], vectors: Any) -> None:
        if vectors.nbytes > MOST_BYTES:
            return
        make_folder(self.folder)
        with replacing(self._file) as temporary, temporary.open("wb") as file:
            np.savez(file, keys=np.array(keys), vectors=vectors)
