"""README and docs are true: what they say can be pasted, every command is documented, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from browser import screenshot, sign_in_as
from conftest import ROOT, SAMPLE_SIZE
from data_home import own_data_home
from playwright.sync_api import Page, expect

from tutelage.commands.cli import COMMANDS
from tutelage.project import Project

README = (ROOT / "README.md").read_text("utf-8")
RUN = re.compile(r"<!-- run -->\n```console\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


class Shell:
    """A shell that stays in its directory and keeps its variables between two pastes."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory, self._environment = directory, {**os.environ, **environment}

    def paste(self, lines: str) -> str:
        """What the lines write to standard output; each must succeed."""
        done = self._run(["bash", "-euc", f"{lines}\npwd > {self._environment['WHERE']}"])
        self.directory = Path(Path(self._environment["WHERE"]).read_text("utf-8").strip())
        return done

    def python(self, lines: str) -> str:
        """What the lines of Python print."""
        return self._run([sys.executable, "-c", lines])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.directory, env=self._environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """In a checkout, with the command of this one before any other, and a data directory of its own."""
    checkout, program = tmp_path / "checkout", tmp_path / "bin" / "tutelage"
    checkout.mkdir()
    (checkout / "tutelage").symlink_to(ROOT / "tutelage")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tutelage "$@"\n', "utf-8")
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "WHERE": str(tmp_path / "pwd")}
    return Shell(checkout, own_data_home(tmp_path) | path)


def test_a_first_hour_of_pasting_and_clicking(shell: Shell, page: Page) -> None:
    """From a checkout to fifteen clicked answers, a trained student and a predicted file."""
    install, loop, people, student = RUN.findall(README)
    assert install == "make demo\n. .venv/bin/activate\n"  # which downloads, so this test stands at its end
    said = shell.paste(loop.replace("tutelage up", "tutelage up --port 0"))
    try:
        name, password = re.findall(r"annotators sign in as (\S+) with password (\S+)", said)[0]
        link = re.findall(r"review: (\S+)", said)[0]
        sign_in_as(page, link.split("/dataset")[0], name, password)
        page.goto(link)
        for _ in range(15):
            click_an_answer(page)
        screenshot(page, "after-fifteen.png")
        assert "anna" in shell.paste(people)

        said = shell.paste(student)
        project = Project(shell.directory)
        assert (project.responses()["status"] == "submitted").sum() == 15
        assert (project.curated()["source"] == "human").sum() == 15
        assert re.search(r"linear-\w+ +0\.\d+ +\[", said)  # the table of evaluate
        sample = pd.read_csv(ROOT / "tutelage" / "sample" / "sample.csv")
        labelled = pd.read_csv(shell.directory / "labelled.csv")
        assert list(labelled)[:3] == ["id", "text", "label"]
        assert list(labelled["text"]) == list(sample["text"])
        assert len(labelled) == SAMPLE_SIZE
        for lines in PYTHON.findall(README):
            shell.python(lines)
    finally:
        shell.paste("tutelage down")


def click_an_answer(page: Page) -> None:
    """Accept the suggestion, or where there is none the first label; until the next record is there."""
    text = page.locator(".fields").first.inner_text()
    page.wait_for_selector("label.label-text")
    if not page.locator("label.label-active").count():
        page.locator("label.label-text").first.click()
    with page.expect_response(lambda answer: "/responses" in answer.url and answer.request.method in {"POST", "PUT"}):
        page.get_by_role("button", name="Submit").click()
    expect(page.locator(".fields").first).not_to_have_text(text)


def test_it_is_one_page() -> None:
    assert len(README.splitlines()) <= 120


def test_every_command_is_documented() -> None:
    table = (ROOT / "docs" / "commands.md").read_text("utf-8").split("## What they print")[0]
    documented = set(re.findall(r"`([a-z-]+)[^`]*`", table))
    assert set(COMMANDS) <= documented, set(COMMANDS) - documented


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in {".md", ".ipynb"}} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_and_option_that_is_shown_exists(path: Path, tutelage: object) -> None:
    text = path.read_text("utf-8")
    blocks = "\n".join(
        [*re.findall(r"```console\n(.*?)```", text, re.DOTALL), *re.findall(r"^    .*$", text, re.MULTILINE)]
    )
    shown = re.findall(r"^ *(?:[A-Z_]+=\S+ )?tutelage ([a-z-]+)(.*)$", blocks, re.MULTILINE)
    shown += [words.partition(" ")[::2] for words in re.findall(r"`tutelage ([a-z-]+[^`]*)`", text)]
    for command, words in shown:
        assert command in COMMANDS, f"{path.name}: {command}"
        if command == "annotators":
            continue
        helped = tutelage(command, "--help").stdout  # type: ignore[operator]
        for option in re.findall(r"(?<!\S)--[a-z-]+", words.partition("#")[0]):
            assert option in helped, f"{path.name}: {command} {option}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_its_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


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
