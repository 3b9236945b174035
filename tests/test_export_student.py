"""Students that were exported: the README's own program, run without tutelage."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from training_data import sentences, small_task, tiny_roberta

import tutelage as front_door
from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.training.manifest import CALIBRATED, FILE
from tutelage.training.measures.calibration import with_temperature
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

TEXTS = [text for text, _ in sentences(12, seed=5)] + ["", "é ü 漢字 😀", "profit rose " * 60]
NOT_THERE = """
import sys

class NotThere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotThere())
"""
PRINTED = "\nprint('answer', json.dumps(probabilities(json.loads(sys.argv[1])).tolist()))\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A task with an encoder, whose temperature is 1.7, a frozen and a linear student."""
    root = tmp_path_factory.mktemp("task")
    workspace = small_task(root)
    tiny = tiny_roberta(root / "tiny", [text for text, _ in sentences(240)])
    options = {"learning_rate": 5e-3, "epochs": 1, "max_length": 40}
    for student in (str(tiny), f"{tiny}:frozen", "linear"):
        train(workspace, parse_student(student, **options))
    entry = one_of("encoder", workspace)
    (entry.path / FILE).write_text(
        replace(entry.manifest, temperature=1.7, probabilities=CALIBRATED).to_json(), "utf-8"
    )
    return workspace


def one_of(kind: str, workspace: Workspace) -> Entry:
    (name,) = [path.name for path in workspace.students.glob(f"{kind}-*")]
    return find_student(workspace.students, name)


def expected(entry: Entry) -> Floats:
    return with_temperature(entry.load().predict_proba(TEXTS), entry.manifest.applied_temperature)


def program_of(folder: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    return str(code)


def run_alone(folder: Path, without: tuple[str, ...], python: Path = Path(sys.executable)) -> Floats:
    """What the README's program answers where these libraries cannot be imported."""
    words = [str(python), "-c", NOT_THERE.format(names=set(without)) + program_of(folder) + PRINTED, json.dumps(TEXTS)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *shown, answer = done.stdout.splitlines()
    assert re.fullmatch(r"\S.* \[[\de.-]{1,7}(, [\de.-]{1,7})+\] A second text\.", shown[-1]), shown[-1]
    return np.array(json.loads(answer.removeprefix("answer ")))


LEAN = ("tutelage", "torch", "transformers", "sentence_transformers")
CASES = [
    ("encoder", "onnx", (*LEAN, "openvino")),
    ("encoder", "openvino", (*LEAN, "onnxruntime")),
    pytest.param("frozen", "onnx", LEAN, marks=pytest.mark.long),
    ("frozen", "safetensors", LEAN[:1]),
]


@pytest.mark.parametrize(("kind", "format_name", "without"), CASES)
def test_the_readme_runs_it_without_tutelage(
    tmp_path: Path, workspace: Workspace, kind: str, format_name: str, without: tuple[str, ...]
) -> None:
    entry, out = one_of(kind, workspace), tmp_path / "out" / "exported"
    exported = front_door.Project(workspace.root).export_student(entry.id, out, format=format_name)
    assert sorted(exported.files) == sorted(
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()
    )
    assert {"README.md", "MODEL_CARD.md", "labels.json", "tokenizer.json"} <= set(exported.files)
    about = json.loads((out / "labels.json").read_text("utf-8"))
    assert tuple(about["id2label"].values()) == entry.manifest.labels
    assert about["temperature"] == (1.7 if kind == "encoder" else 1.0)
    np.testing.assert_allclose(run_alone(out, without), expected(entry), atol=1e-4)
    assert [path.name for path in out.parent.iterdir()] == ["exported"], "nothing temporary stays"


@pytest.mark.long
def test_it_runs_where_only_its_libraries_are_installed(tmp_path: Path, workspace: Workspace) -> None:
    entry, out = one_of("encoder", workspace), tmp_path / "exported"
    front_door.Project(workspace.root).export_student(entry.id, out)
    (install,) = re.findall(r"```console\npip (.*)\n```", (out / "README.md").read_text("utf-8"))
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "-q", *install.split()], check=True, capture_output=True)
    np.testing.assert_allclose(run_alone(out, (), python), expected(entry), atol=1e-4)


def test_the_command_writes_a_folder_for_all_and_replaces_none(
    tmp_path: Path, workspace: Workspace, tutelage: Callable[..., CompletedProcess[str]]
) -> None:
    entry, out = one_of("encoder", workspace), tmp_path / "exported"
    words = ("export-student", entry.id, out, "--format", "safetensors", "--task", workspace.root)
    done = tutelage(*map(str, words), "--json")
    assert json.loads(done.stdout)["student"] == entry.id
    np.testing.assert_allclose(run_alone(out, LEAN[:1]), expected(entry), atol=1e-4)
    assert (out.stat().st_mode & 0o777, (out / "README.md").stat().st_mode & 0o777) == (0o755, 0o644)
    before = (out / "labels.json").stat()
    with pytest.raises(StudentError, match=f"{out}: is there already"):
        front_door.Project(workspace.root).export_student(entry.id, out)
    assert (out / "labels.json").stat() == before


@pytest.mark.parametrize("format_name", ["onnx", "openvino", "safetensors"])
def test_a_student_without_a_network_is_refused(tmp_path: Path, workspace: Workspace, format_name: str) -> None:
    project, out = front_door.Project(workspace.root), tmp_path / "exported"
    with pytest.raises(StudentError, match=f"--format {format_name}: linear-.* has no neural network; use"):
        project.export_student(one_of("linear", workspace).id, out, format=format_name)
    with pytest.raises(StudentError, match="--format h5: is not known; use one of onnx, openvino, safetensors"):
        project.export_student(one_of("linear", workspace).id, out, format="h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_killed_export_leaves_no_folder_of_its_name(tmp_path: Path, workspace: Workspace) -> None:
    out = tmp_path / "exported"
    words = ["export-student", one_of("encoder", workspace).id, str(out), "--format", "safetensors"]
    process = subprocess.Popen([sys.executable, "-m", "tutelage", *words, "--task", str(workspace.root)])
    until = time.monotonic() + 60
    while process.poll() is None and not list(tmp_path.glob(".exported.*/*")) and time.monotonic() < until:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
