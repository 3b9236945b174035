"""The README is true: its commands run, every command is documented, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, SAMPLE_SIZE
from data_home import own_data_home

from tutelage.commands.cli import COMMANDS

README = (ROOT / "README.md").read_text("utf-8")
RUN = re.compile(r"<!-- run -->\n```console\n(.*?)```", re.DOTALL)


def test_its_commands_run_in_order(tmp_path: Path) -> None:
    (tmp_path / "tutelage").symlink_to(ROOT / "tutelage")
    script = "\n".join(RUN.findall(README)).replace("tutelage up", "tutelage up --port 0")
    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        env={**os.environ, **own_data_home(tmp_path), **path_with_tutelage(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert f"{SAMPLE_SIZE} new records" in done.stdout
    assert f"{SAMPLE_SIZE} sent" in done.stdout
    assert "sort=metadata.suspect_rank.asc" in done.stdout
    assert "snapshot" in done.stdout
    assert "was trained on" in done.stderr  # evaluate refuses rows that the student has seen
    assert "Argilla is stopped" in done.stdout
    assert len((tmp_path / "ranked.csv").read_text("utf-8").splitlines()) == SAMPLE_SIZE + 1


def path_with_tutelage(tmp_path: Path) -> dict[str, str]:
    """The command of this checkout before any other."""
    program = tmp_path / "bin" / "tutelage"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tutelage "$@"\n', "utf-8")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def test_every_command_is_documented() -> None:
    table = README.split("### Which command does what")[1].split("`tutelage COMMAND --help`")[0]
    documented = set(re.findall(r"`([a-z-]+)[^`]*`", table))
    assert set(COMMANDS) <= documented, set(COMMANDS) - documented


def test_every_option_it_names_exists(tutelage: object) -> None:
    for line in "\n".join(RUN.findall(README)).splitlines():
        words = line.split()
        for option in (word for word in words if word.startswith("--")):
            shown = tutelage(words[1], "--help").stdout  # type: ignore[operator]
            assert option in shown, f"{words[1]} {option}"


def test_its_files_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_help_answers_at_once() -> None:
    """Imports nothing heavy: measured by what is loaded, not by a clock on a busy machine."""
    code = """
import sys
from tutelage.commands.cli import cli
cli.main(["--help"], standalone_mode=False)
heavy = {"pydantic", "numpy", "pandas", "torch", "httpx", "argilla", "sklearn"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
