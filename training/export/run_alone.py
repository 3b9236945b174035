"""The README of an exported student: how to run it in Python without tutelage."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.training.hub.model_card import plain
from tutelage.training.manifest import StudentManifest

_READ = """import json

import numpy as np
{imports}

with open("labels.json", encoding="utf-8") as file:
    about = json.load(file)
{load}


def probabilities(texts):
{scores}
    scores = np.asarray(scores, dtype=float) / about["temperature"]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


texts = ["A first text.", "A second text."]
for text, row in zip(texts, probabilities(texts)):
    print(about["id2label"][str(row.argmax())], row.round(4).tolist(), text)
"""

_TOKENS = """    batch = tokenizer.encode_batch(texts)
    ids = np.array([text.ids for text in batch], dtype=np.int64)
    mask = np.array([text.attention_mask for text in batch], dtype=np.int64)
"""


@dataclass(frozen=True)
class _Program:
    """What to install, and the parts of the program."""

    install: str
    imports: str
    load: str
    scores: str

    def text(self) -> str:
        return _READ.format(imports=self.imports, load=self.load, scores=self.scores.rstrip("\n"))


_PROGRAMS = {
    "onnx": _Program(
        "onnxruntime tokenizers numpy",
        "import onnxruntime\nfrom tokenizers import Tokenizer",
        'tokenizer = Tokenizer.from_file("tokenizer.json")\n'
        'session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])',
        f'{_TOKENS}    scores = session.run(None, {{"input_ids": ids, "attention_mask": mask}})[0]\n',
    ),
    "openvino": _Program(
        "openvino tokenizers numpy",
        "import openvino\nfrom tokenizers import Tokenizer",
        'tokenizer = Tokenizer.from_file("tokenizer.json")\n'
        'exact = {"INFERENCE_PRECISION_HINT": "f32"}  # without it OpenVINO rounds to bf16 where the CPU has it\n'
        'model = openvino.Core().compile_model("model.xml", "CPU", exact)',
        f'{_TOKENS}    scores = model({{"input_ids": ids, "attention_mask": mask}})[0]\n',
    ),
    "transformers": _Program(
        "transformers torch numpy",
        "from transformers import pipeline",
        'classify = pipeline("text-classification", model=".", device="cpu", dtype="float32")',
        '    options = {"top_k": None, "function_to_apply": "none", "truncation": True}\n'
        '    found = [{one["label"]: one["score"] for one in each} for each in classify(texts, **options)]\n'
        '    scores = np.array([[each[name] for name in about["id2label"].values()] for each in found])\n',
    ),
    "sentence-transformers": _Program(
        "sentence-transformers numpy",
        "from safetensors.numpy import load_file\nfrom sentence_transformers import SentenceTransformer",
        'encoder = SentenceTransformer(".", device="cpu")\nhead = load_file("head.safetensors")',
        '    scores = encoder.encode(texts, normalize_embeddings=True) @ head["coef"].T + head["intercept"]\n',
    ),
}


def run_alone_page(manifest: StudentManifest, program: str) -> str:
    """The README, in Markdown, with the program of this name."""
    parts = _PROGRAMS[program]
    return f"""# {manifest.id}

A text classifier for the task *{plain(manifest.task)}*, exported by tutelage, which it does not need to run.
Where it comes from, what it was measured on, and the licence of its teachers' output: MODEL_CARD.md.

```console
pip install {parts.install}
```

In this folder:

```python
{parts.text()}```

- `id2label` in `labels.json` names the columns of `probabilities`, in their order.
- A text is cut after `max_length` tokens.{_windows(manifest)}
- {_temperature(manifest)}
"""


def _windows(manifest: StudentManifest) -> str:
    if not manifest.recipe.windows:
        return ""
    return " tutelage reads longer texts in windows and averages their probabilities; this program does not."


def _temperature(manifest: StudentManifest) -> str:
    if manifest.applied_temperature is None:
        return "The student's probabilities are uncalibrated: `temperature` is 1, and dividing by it changes nothing."
    return (
        "Scores are divided by `temperature` before the softmax: it was fitted on validation rows so that the"
        " probabilities are calibrated. It changes no label; 1 in its place gives the model's own probabilities."
    )
