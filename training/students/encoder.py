"""The encoder student: any Hugging Face encoder with a classification head. Safetensors only, no remote code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.core.arrays import Floats, Ints, softmax
from tutelage.core.compute import has_gpu
from tutelage.training.encoders.loading import LOADING_ERRORS, cannot_load, load_classifier, usable_length
from tutelage.training.encoders.token_windows import TokenWindows, averaged, check_windows, tokenised

TOKENS_A_BATCH = 4096


class EncoderStudent:
    """A sequence classifier and its tokenizer.

    Texts are truncated to ``max_length`` tokens; with ``windows`` the probabilities of all their windows are averaged.
    """

    def __init__(
        self, model: Any, tokenizer: Any, label_names: tuple[str, ...], max_length: int, *, windows: bool = False
    ) -> None:
        self.label_names, self.windows = label_names, windows
        self.model, self.tokenizer, self.max_length = model, tokenizer, max_length

    def tokenise(self, texts: Sequence[str]) -> TokenWindows:
        """Token ids of the texts."""
        return tokenised(self.tokenizer, texts, self.max_length, windows=self.windows)

    def predict_proba(self, texts: Sequence[str]) -> Floats:
        """Probabilities, shape (N, K), in the order of ``texts``; batches are sorted by length."""
        import torch

        tokens = self.tokenise(texts)
        logits = np.empty((len(tokens.ids), len(self.label_names)))
        device = "cuda" if has_gpu() else "cpu"
        self.model.to(device).eval()
        for rows in length_batches([len(ids) for ids in tokens.ids]):
            batch = self.tokenizer.pad({"input_ids": [tokens.ids[i] for i in rows]}, return_tensors="pt").to(device)
            with torch.inference_mode():
                logits[rows] = self.model(**batch).logits.float().cpu().numpy()
        return averaged(softmax(logits), tokens.owners)

    def save(self, directory: Path) -> None:
        """Save in the layout of a model on the Hub."""
        self.tokenizer.model_max_length = self.max_length
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    @classmethod
    def load(cls, directory: Path, label_names: tuple[str, ...], *, windows: bool = False) -> EncoderStudent:
        """Load a saved student."""
        model, tokenizer = load_classifier(str(directory), local_files_only=True)
        return cls(model, tokenizer, label_names, int(tokenizer.model_max_length), windows=windows)


def new_encoder(name: str, label_names: tuple[str, ...], max_length: int, *, windows: bool = False) -> EncoderStudent:
    """A pretrained encoder with a randomly initialised classification head.

    Raises
    ------
    StudentError
        When the model cannot be loaded, has no safetensors, or its tokenizer makes no windows.
    """
    names = {"id2label": dict(enumerate(label_names)), "label2id": {name: i for i, name in enumerate(label_names)}}
    try:
        model, tokenizer = load_classifier(name, {"num_labels": len(label_names), **names})
    except LOADING_ERRORS as error:
        raise cannot_load(name, error) from None
    if windows:
        check_windows(name, tokenizer)
    length = usable_length(model.config, tokenizer, max_length)
    return EncoderStudent(model, tokenizer, label_names, length, windows=windows)


def truncated_texts(student: Any, texts: Sequence[str]) -> int:
    """How many of these texts a student reads the beginning of only; 0 for one that reads no tokens."""
    body = getattr(student, "body", None)
    tokenizer = body.tokenizer if body is not None else getattr(student, "tokenizer", None)
    if tokenizer is None or not texts:
        return 0
    max_length = int(student.max_length if body is None else body.max_seq_length)
    return tokenised(tokenizer, texts, max_length, windows=student.windows).truncated


def length_batches(lengths: Sequence[int], tokens: int = TOKENS_A_BATCH) -> Iterator[Ints]:
    """Row indices in batches of similar length, the longest first, of at most ``tokens`` tokens with padding."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
