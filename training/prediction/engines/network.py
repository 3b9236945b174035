"""From a student to the network that engines run; a student without one runs directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tutelage.training.prediction.engines.engine import Network
from tutelage.training.students.encoder import EncoderStudent
from tutelage.training.students.head import Head
from tutelage.training.students.student import Student

EXPORTS = "exports"
_IMPOSSIBLE = -1e9
"""In place of minus infinity, which not every engine supports; its probability is 0 too."""


def network_of(student: Student, folder: Path) -> Network | None:
    """The network of an encoder, tuned or frozen; None where there is none. ``folder`` is the checkpoint's."""
    exports = folder / EXPORTS
    if isinstance(student, EncoderStudent):
        return Network(
            module=_classifier(student.model),
            tokenizer=student.tokenizer,
            max_length=student.max_length,
            exports=exports,
            windows=student.windows,
        )
    body, head = getattr(student, "body", None), getattr(student, "head", None)
    if body is None or head is None:
        return None
    return Network(
        module=_with_head(body, head),
        tokenizer=body.tokenizer,
        max_length=int(body.max_seq_length),
        exports=exports,
        windows=getattr(student, "windows", False),
    )


def _classifier(model: Any) -> Any:
    import torch

    class Classifier(torch.nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    return Classifier().to("cpu").eval()


def _with_head(body: Any, head: Head) -> Any:
    import torch

    class Embedder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.linear = torch.nn.Linear(head.coef.shape[1], head.coef.shape[0])
            self.linear.load_state_dict({"weight": _tensor(head.coef), "bias": _tensor(head.intercept)})

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            output = self.body({"input_ids": input_ids, "attention_mask": attention_mask})
            return self.linear(torch.nn.functional.normalize(output["sentence_embedding"], dim=-1))

    return Embedder().to("cpu").eval()


def _tensor(values: Any) -> Any:
    import torch

    return torch.tensor(np.maximum(values, _IMPOSSIBLE), dtype=torch.float32)
