"""The folders beside ``tutelage/`` have one import name each."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("statement", ["import {}", "from {} import x", "import {}.x"])
@pytest.mark.parametrize("folder", ["loaders", "feedback", "training"])
def test_a_folder_under_its_bare_name_is_refused_at_once(folder: str, statement: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", statement.format(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    path = ROOT / folder / "__init__.py"
    said = f"ImportError: {folder} ({path}) is the package tutelage.{folder}; import it by that name"
    assert done.stderr.splitlines()[-1] == said


def test_under_its_own_name_it_is_imported() -> None:
    names = ("tutelage.loaders", "tutelage.feedback", "tutelage.training")
    done = subprocess.run([sys.executable, "-c", f"import {', '.join(names)}"], cwd=ROOT, check=False)
    assert done.returncode == 0
