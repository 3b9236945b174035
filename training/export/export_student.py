"""``export-student``: a student as ONNX, OpenVINO or safetensors, in a folder that runs without tutelage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tutelage.core import __version__
from tutelage.core.errors import StudentError
from tutelage.core.files import held, remove_left, temporary_beside
from tutelage.core.locks import in_use
from tutelage.training.export.model_files import FORMATS, ModelFiles
from tutelage.training.export.run_alone import run_alone_page
from tutelage.training.hub.model_card import CARD
from tutelage.training.manifest import FILE, StudentManifest
from tutelage.training.registry import Entry

LABELS, PAGE, COPIED_CARD = "labels.json", "README.md", "MODEL_CARD.md"


@dataclass(frozen=True, kw_only=True)
class ExportedStudent:
    """What ``export-student`` wrote: the student, the format, the folder, and the names of its files."""

    student: str
    format: str
    path: str
    files: tuple[str, ...]


def export_student(entry: Entry, out: Path, format_name: str) -> ExportedStudent:
    """Write a folder with the model, its tokenizer, ``labels.json`` and a README with the Python that runs it.

    Raises
    ------
    StudentError
        When ``out`` is there already, the student has no such export, or a library is not installed.
    """
    if format_name not in FORMATS:
        raise StudentError(f"--format {format_name}: is not known; use one of {', '.join(FORMATS)}")
    if os.path.lexists(out):
        raise StudentError(f"{out}: is there already, and is not replaced; give another path, or remove it first")
    with in_use(entry.path / FILE), _folder_for_people(out) as folder:
        files = FORMATS[format_name](entry, folder)
        _write_words(folder, entry, files)
        names = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return ExportedStudent(student=entry.id, format=format_name, path=str(out), files=names)


@contextmanager
def _folder_for_people(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that becomes it, with the modes that the umask leaves."""
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_left(out.parent, out.name)
    temporary = temporary_beside(out)
    temporary.mkdir(mode=0o700)
    try:
        with held(temporary):
            yield temporary
        open_modes = 0o777 & ~_umask()
        for path in (temporary, *temporary.rglob("*")):
            path.chmod(open_modes if path.is_dir() else open_modes & 0o666)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_words(folder: Path, entry: Entry, files: ModelFiles) -> None:
    labels = json.dumps(_labels(entry.manifest, files), ensure_ascii=False, indent=2)
    (folder / LABELS).write_text(labels + "\n", "utf-8")
    (folder / PAGE).write_text(run_alone_page(entry.manifest, files.program), "utf-8")
    if (entry.path / CARD).exists():
        shutil.copyfile(entry.path / CARD, folder / COPIED_CARD)


def _labels(manifest: StudentManifest, files: ModelFiles) -> dict[str, object]:
    return {
        "id2label": {str(number): name for number, name in enumerate(manifest.labels)},
        "temperature": manifest.applied_temperature or 1.0,
        "max_length": files.max_length,
        "student": manifest.id,
        "base_model": manifest.model,
        "tutelage": __version__,
    }
