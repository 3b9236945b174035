"""What people install: a wheel with all that is ours and nothing else, and the loop run from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SAMPLE_SIZE
from data_home import own_data_home

FOLDERS = ("loaders", "feedback", "training")
DATA = {
    "tutelage/py.typed",
    "tutelage/loaders/teacher/prompts/plain.j2",
    "tutelage/report/templates/report.html.j2",
    "tutelage/sample/sample.csv",
    "tutelage/sample/task.yaml",
    "tutelage/feedback/embedded/requirements.txt",
}
VOTES = [word for n in range(1, 5) for word in ("--vote", f"vote_{n}:reason_{n}")]


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracked() -> list[str]:
    names = run("git", "-c", "safe.directory=*", "ls-files", "-z", cwd=ROOT).split("\0")  # whoever owns the files
    return [name for name in names if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def make_source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Copies what git has of the checkout: a file that was not added to it cannot help, nor can an earlier build."""

    def make() -> Path:
        copy = tmp_path_factory.mktemp("source")
        for name in tracked():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
        return copy

    return make


def wheel_of(source: Path, out: Path) -> Path:
    """Needs no network: setuptools of this environment builds it."""
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", out)
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=source if source.is_dir() else source.parent)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(make_source: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(make_source(), tmp_path_factory.mktemp("wheel"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


# What is in it


def test_the_wheel_holds_the_one_package(wheel: Path) -> None:
    version, top = wheel.name.split("-")[1], {name.split("/")[0] for name in names_in(wheel)}
    assert top == {"tutelage", f"tutelage-{version}.dist-info"}


def test_the_wheel_holds_every_file_of_ours(wheel: Path) -> None:
    packaged = {name for name in names_in(wheel) if name.startswith("tutelage/")}
    files = {name for name in tracked() if name.startswith(("tutelage/", *(f"{folder}/" for folder in FOLDERS)))}
    links = {f"tutelage/{folder}" for folder in FOLDERS}
    assert packaged == {name if name.startswith("tutelage/") else f"tutelage/{name}" for name in files - links}
    assert packaged >= DATA


def test_the_wheel_of_the_source_archive_is_the_same(
    make_source: Callable[[], Path], wheel: Path, tmp_path: Path
) -> None:
    build = f"import setuptools.build_meta as build; build.build_sdist({str(tmp_path)!r})"
    run(sys.executable, "-c", build, cwd=make_source())
    (archive,) = tmp_path.glob("*.tar.gz")
    assert names_in(wheel_of(archive, tmp_path / "out")) == names_in(wheel)


# What it does


@dataclass(frozen=True)
class Installed:
    """The wheel in an environment of its own, and a folder whose packages have the names of our folders."""

    site: Path
    bin: Path
    work: Path
    env: dict[str, str]

    def tutelage(self, *words: object) -> str:
        return run(self.bin / "tutelage", *words, cwd=self.work, env=self.env)

    def module(self, *words: object) -> str:
        """``python -m`` looks into the current folder before all others."""
        return run(self.bin / "python", "-m", "tutelage", *words, cwd=self.work, env=self.env)

    def ask(self, *words: object) -> dict[str, Any]:
        return dict(json.loads(self.tutelage(*words, "--task", "news", "--json")))


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Iterator[Installed]:
    venv, work = tmp_path / "venv", tmp_path / "work"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    options = ("--no-deps", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", *options, wheel, cwd=tmp_path)
    (site,) = venv.glob("lib/python*/site-packages")
    # The libraries of this environment, not what its own .pth files add: one of them leads to the checkout.
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    for folder in FOLDERS:
        (work / folder).mkdir(parents=True)
        (work / folder / "__init__.py").write_text("raise ImportError('a stranger')\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARGILLA_"))}
    there = Installed(site, venv / "bin", work, env | own_data_home(tmp_path))
    yield there
    there.tutelage("down")


PRINT_FILES = """
import sys, tutelage.loaders, tutelage.feedback, tutelage.training
print(*(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "tutelage"), sep="\\n")
"""


def test_the_installed_command_goes_round_the_loop_among_strangers(installed: Installed) -> None:
    printed = run(installed.bin / "python", "-c", PRINT_FILES, cwd=installed.work, env=installed.env)
    files, package = {Path(line) for line in printed.splitlines()}, installed.site / "tutelage"
    assert files >= {package / folder / "__init__.py" for folder in FOLDERS}
    assert all(file.is_relative_to(package) for file in files), files

    sample = installed.site / "tutelage" / "sample" / "sample.csv"
    installed.tutelage("init", "news", "--labels", "positive,neutral,negative")
    task = installed.work / "news" / "task.yaml"
    task.write_text(task.read_text("utf-8").replace("share: 0.0", "share: 0.3"), "utf-8")
    ask = installed.ask
    assert ask("import", sample, "--text", "text", "--id", "id", "--gold", "gold", *VOTES)["new"] == SAMPLE_SIZE
    assert ask("up", "--port", "0")["url"].startswith("http://127.0.0.1:")
    pushed = ask("push", "--anyway")
    assert (pushed["created"], pushed["rejected"]) == (True, 0)
    assert ask("rank")["ranked"] == pushed["sent"]
    assert ask("pull")["records"] == pushed["sent"]
    student = ask("train", "--student", "linear")["id"]
    assert ask("evaluate")["rows"] == SAMPLE_SIZE - pushed["sent"]
    assert ask("predict", sample, "labelled.parquet")["rows"] == SAMPLE_SIZE
    assert [row["id"] for row in ask("status")["students"]] == [student]
    assert ask("down")["stopped"]

    assert "Usage: tutelage" in installed.module("--help")
    installed.module("train", "--student", "linear", "--human-weight", "5", "--task", "news")
    assert "students: 2" in installed.module("status", "--task", "news")
