"""Help: commands by stage, examples that parse, what was meant, what the shell completes, and the page of all this."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest
from conftest import ROOT

from tutelage.commands.cli import COMMANDS, cli
from tutelage.commands.terminal.help import OTHERS, STAGES, summary

Run = Callable[..., CompletedProcess[str]]
PAGE = (ROOT / "docs" / "commands.md").read_text("utf-8")


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found
    return found


GROUP = command("annotators")
assert isinstance(GROUP, click.Group)
EACH = {name: command(name) for name in COMMANDS if name != "annotators"}
EACH |= {f"annotators {name}": one for name, one in GROUP.commands.items()}
"""Every command that does something, by the words that call it."""


# tutelage --help


def test_every_command_has_a_stage() -> None:
    staged = [name for names in STAGES.values() for name in names]
    assert sorted(staged) == sorted(COMMANDS)
    assert len(staged) == len(set(staged))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_help_lists_whole_sentences_by_stage(tutelage: Run, width: int) -> None:
    said = tutelage("--help", env={"COLUMNS": str(width)}).stdout
    assert max(map(len, said.splitlines())) <= min(width, 100)
    assert "..." not in said.partition("Options:")[2]
    flat = re.sub(r"-\s+", "-", " ".join(said.split()))
    for stage, names in STAGES.items():
        assert f"\n{stage}:\n" in said
        for name in names:
            assert re.sub(r"-\s+", "-", f"{name} {summary(command(name))}") in flat
    assert said.index("Start a task") < said.index("Teacher") < said.index("Review") < said.index("Use:")
    assert OTHERS not in said


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_summary_is_a_sentence(name: str) -> None:
    assert re.fullmatch(r"[A-Z].+[.]", summary(command(name)))


# tutelage COMMAND --help


@pytest.mark.parametrize("name", sorted(EACH))
def test_every_example_parses(name: str) -> None:
    epilog = EACH[name].epilog or ""
    assert epilog.startswith(f"\b\nExample:\n  tutelage {name}")
    words = shlex.split(epilog.splitlines()[-1])[1 + len(name.split()) :]
    EACH[name].make_context(name, words)


@pytest.mark.parametrize("name", sorted(EACH))
def test_what_every_command_takes_comes_last(name: str) -> None:
    options = [option.opts[0] for option in EACH[name].params if isinstance(option, click.Option)]
    last = options[-2:] if name != "init" else options[-1:]
    assert last == (["--task", "--json"] if name != "init" else ["--json"])
    undescribed = [one.name for one in EACH[name].params if isinstance(one, click.Option) and not one.help]
    assert not undescribed


# What was meant


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian"], "did you mean train?"),
        (["statsu"], "did you mean status?"),
        (["serve"], "did you mean serve-student?"),
        (["xyzzy"], "tutelage --help lists them"),
        (["push", "--tsk", "x"], "Did you mean '--task'?"),
    ],
)
def test_close_words_are_named(tutelage: Run, words: list[str], meant: str) -> None:
    run = tutelage(*words, ok=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith(f"{meant}\n")


# Completion


def complete(*words: str, cwd: Path = ROOT) -> list[str]:
    """What bash is offered for the last word."""
    env = {"_TUTELAGE_COMPLETE": "bash_complete", "COMP_WORDS": shlex.join(["tutelage", *words])}
    env |= {"COMP_CWORD": str(len(words)), "PYTHONPATH": str(ROOT)}
    if not words[-1]:
        env["COMP_WORDS"] = shlex.join(["tutelage", *words[:-1]]) + " "
    run = subprocess.run(
        [sys.executable, "-m", "tutelage"],
        env={**os.environ, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return [line.partition(",")[2] for line in run.stdout.splitlines() if line.startswith("plain,")]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task directory with complete and incomplete students and snapshots; nothing in it can be read."""
    root = tmp_path / "a task"
    for path in ("students/linear-1/student.json", "students/encoder-2/student.json", "students/.work-3/student.json"):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(b"\xff")
    (root / "students" / "half-4").mkdir()
    (root / "snapshots" / "abc").mkdir(parents=True)
    (root / "snapshots" / "abc" / "manifest.json").write_bytes(b"\xff")
    (root / "task.yaml").write_bytes(b"\xff")
    return root


def test_ids_of_students_and_snapshots_are_completed(task: Path) -> None:
    students = ["champion", "encoder-2", "linear-1"]
    assert complete("promote", "--task", str(task), "") == students
    assert complete("promote", "", cwd=task) == students
    assert complete("promote", "lin", cwd=task) == ["linear-1"]
    assert complete("evaluate", "--task", str(task), "--against", "") == students
    assert complete("predict", "--task", str(task), "--student", "e") == ["encoder-2"]
    assert complete("serve-student", "--task", str(task), "--student", "c") == ["champion"]
    assert complete("train", "--task", str(task), "--snapshot", "") == ["abc"]
    assert complete("train", "--student", "s") == ["setfit"]


def test_commands_and_options_are_completed() -> None:
    assert complete("pr") == ["promote", "predict"]
    assert "--snapshot" in complete("train", "--sn")


def test_nothing_is_completed_where_there_is_nothing(task: Path, tmp_path: Path) -> None:
    assert complete("promote", "--task", str(tmp_path / "none"), "") == ["champion"]
    assert complete("promote", "--task", str(task / "task.yaml"), "") == ["champion"]
    assert complete("train", "--task", str(tmp_path), "--snapshot", "") == []


def test_completing_imports_nothing_heavy(task: Path) -> None:
    code = """
import os, sys
os.environ |= {"_TUTELAGE_COMPLETE": "bash_complete", "COMP_WORDS": "tutelage promote ", "COMP_CWORD": "2"}
from tutelage.commands.cli import cli
try:
    cli.main(prog_name="tutelage", standalone_mode=False)
except SystemExit:
    print({"pydantic", "numpy", "pandas", "torch", "httpx", "argilla", "sklearn", "yaml"} & set(sys.modules))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=task, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "set()"
    assert "plain,linear-1" in run.stdout


@pytest.mark.parametrize(("shell", "line"), re.findall(r"^\| (bash|zsh|fish) \| .* \| `(.*)` \|$", PAGE, re.MULTILINE))
def test_the_documented_lines_turn_completion_on(shell: str, line: str, tmp_path: Path) -> None:
    program = tmp_path / "tutelage"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tutelage "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    (made,) = re.findall(r"_TUTELAGE_COMPLETE=\w+ tutelage", line)
    script = subprocess.run(["sh", "-c", made], env=env, capture_output=True, text=True, check=True).stdout
    assert f"{shell}_complete" in script
    if shell == "bash":
        asked = (
            f'{line}; COMP_WORDS=(tutelage prom); COMP_CWORD=1; _tutelage_completion tutelage; echo "${{COMPREPLY[@]}}"'
        )
        run = subprocess.run(["bash", "-c", asked], env=env, capture_output=True, text=True, check=True)
        assert run.stdout.split() == ["promote"]


def test_all_three_shells_are_documented() -> None:
    assert [shell for shell in ("bash", "zsh", "fish") if f"`_TUTELAGE_COMPLETE={shell}_source" in PAGE] == ["fish"]
    assert PAGE.count("_TUTELAGE_COMPLETE=") == 3


# The page


def test_every_command_stands_in_the_page_under_its_stage() -> None:
    table = PAGE.partition("| command | does |")[2].partition("\n\n")[0]
    stages = dict(re.findall(r"\| \*\*(.+?)\*\* \| \|\n((?:\| `.*\n?)+)", table))
    cells = {stage: " ".join(re.findall(r"^\| (.*?) \|", rows, re.MULTILINE)) for stage, rows in stages.items()}
    named = {stage: re.findall(r"`([a-z-]+)", words) for stage, words in cells.items()}
    assert named == {stage: list(names) for stage, names in STAGES.items()}
