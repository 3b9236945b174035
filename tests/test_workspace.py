from __future__ import annotations

import os
from pathlib import Path

import pytest

from tutelage.workspace import replacing_folder


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(text: str, *, fail: bool = False) -> None:
        with replacing_folder(tmp_path / "made") as temporary:
            (temporary / "file").write_text(text)
            if fail:
                raise RuntimeError

    write("old")
    with pytest.raises(RuntimeError):
        write("new", fail=True)
    assert (tmp_path / "made/file").read_text() == "old"
    write("new")
    assert (tmp_path / "made/file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_a_killed_run_left_goes_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".writing-old", 90_000), (".writing-now", 0)):
        (tmp_path / name).mkdir()
        now = (tmp_path / name).stat().st_mtime
        os.utime(tmp_path / name, (now - age, now - age))
    with replacing_folder(tmp_path / "made"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writing-now", "made"]
