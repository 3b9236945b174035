"""The files of a student's model in each format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.core.errors import StudentError
from tutelage.training.prediction.engines.engine import Network
from tutelage.training.prediction.engines.export import plain_export
from tutelage.training.prediction.engines.network import network_of
from tutelage.training.registry import Entry
from tutelage.training.students.encoder import EncoderStudent
from tutelage.training.students.head import FILE as HEAD
from tutelage.training.students.head import Head

TOKENIZER, ONNX, OPENVINO, SAFE_HEAD = "tokenizer.json", "model.onnx", "model.xml", "head.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """What was written: the name of the program that runs it, and the tokens after which it cuts a text."""

    program: str
    max_length: int


def _onnx(entry: Entry, folder: Path) -> ModelFiles:
    network = _network(entry, "onnx")
    shutil.copyfile(_plain(network), folder / ONNX)
    _write_tokenizer(network, folder)
    return ModelFiles("onnx", network.max_length)


def _openvino(entry: Entry, folder: Path) -> ModelFiles:
    network = _network(entry, "openvino")
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    model = openvino.convert_model(str(_plain(network)))
    openvino.save_model(model, str(folder / OPENVINO), compress_to_fp16=False)
    _write_tokenizer(network, folder)
    return ModelFiles("openvino", network.max_length)


def _safetensors(entry: Entry, folder: Path) -> ModelFiles:
    """An encoder as transformers has it; a frozen or SetFit student as sentence-transformers has it, with its head."""
    network, student = _network(entry, "safetensors"), entry.load()
    student.save(folder)
    if isinstance(student, EncoderStudent):
        return ModelFiles("transformers", network.max_length)
    from safetensors.numpy import save_file

    head = Head.load(folder)
    save_file({"coef": head.coef, "intercept": head.intercept}, folder / SAFE_HEAD)
    (folder / HEAD).unlink()
    return ModelFiles("sentence-transformers", network.max_length)


FORMATS: dict[str, Callable[[Entry, Path], ModelFiles]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "safetensors": _safetensors,
}
"""What writes each format into a folder."""


def _network(entry: Entry, format_name: str) -> Network:
    network = network_of(entry.load(), entry.path)
    if network is None:
        raise StudentError(
            f"--format {format_name}: {entry.id} is a {entry.manifest.kind} student and has no neural network;"
            " use tutelage predict or serve-student, or export a student of another kind"
        )
    return network


def _plain(network: Network) -> Path:
    try:
        return plain_export(network)
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    except RuntimeError as error:
        raise StudentError(f"{error}; use --format safetensors") from None


def _not_installed(error: ModuleNotFoundError) -> StudentError:
    return StudentError(f"{error.name} is not installed; install it with: pip install 'tutelage[fast]'")


def _write_tokenizer(network: Network, folder: Path) -> None:
    """The tokenizer with its truncation and padding, so that the ``tokenizers`` library needs nothing else."""
    from tokenizers import Tokenizer

    own: Any = network.tokenizer
    if not hasattr(own, "backend_tokenizer"):
        raise StudentError("this student's tokenizer runs in Python only; use --format safetensors")
    tokenizer = Tokenizer.from_str(own.backend_tokenizer.to_str())
    tokenizer.enable_truncation(network.max_length, direction=own.truncation_side)
    tokenizer.enable_padding(direction=own.padding_side, pad_id=own.pad_token_id, pad_token=own.pad_token)
    tokenizer.save(str(folder / TOKENIZER))
