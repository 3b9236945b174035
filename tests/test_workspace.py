from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tutelage.core.files import new_folder


def test_a_folder_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(*, fail: bool = False) -> None:
        with new_folder(tmp_path / "made", "file") as temporary:
            (temporary / "file").write_text("new")
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fail=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "made").mkdir()
    (tmp_path / "made/part").touch()  # of a copy that broke off
    write()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_folder_of_a_faster_writer_stays(tmp_path: Path) -> None:
    def write(text: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        with new_folder(tmp_path / "made", "file") as temporary:
            (temporary / "file").write_text(text)
            meanwhile()

    with pytest.raises(OSError, match="made"):
        write("slower", lambda: write("faster"))
    assert (tmp_path / "made/file").read_text() == "faster"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_a_killed_run_left_goes_after_an_hour(tmp_path: Path) -> None:
    for name, age in ((".writing-old", 3700), (".writing-now", 0)):
        (tmp_path / name).mkdir()
        now = (tmp_path / name).stat().st_mtime
        os.utime(tmp_path / name, (now - age, now - age))
    with new_folder(tmp_path / "made", "file"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-now", "made"]
