#!/usr/bin/env python3
"""Asks pip-audit for known weaknesses of what is pinned: constraints.txt, and the embedded server's requirements.

Fails where one is found that audit-exceptions.txt does not name. Where the service cannot be reached nothing is
checked, which is said and is no failure. pip-audit itself reports a package that the service does not know as harmless,
so it is first asked for one whose weaknesses are known.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXCEPTIONS = HERE / "audit-exceptions.txt"
PINNED = (HERE.parent / "constraints.txt", HERE.parent / "feedback" / "embedded" / "requirements.txt")
KNOWN_WEAK = "jinja2==2.4.1\n"


@dataclass(frozen=True)
class Weakness:
    """What is known of a version: ``ids`` are its numbers in several registers."""

    package: str
    version: str
    ids: frozenset[str]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return f"{self.package} {self.version}: {', '.join(sorted(self.ids))}; fixed in {self._fixed}"

    @property
    def _fixed(self) -> str:
        return ", ".join(self.fixed_in) or "no version yet"


class AuditError(Exception):
    """pip-audit gave no answer."""


def main() -> int:
    """Audit; 0 unless something was found, or an exception is not written as it should be."""
    exceptions = _exceptions()
    if not _is_answered():
        print("pip-audit: not checked: the service cannot be reached")
        return 0
    found = [(path.name, one) for path in PINNED for one in _audit(path) if not _is_excepted(one, exceptions)]
    print("\n".join(f"{name}: {one}" for name, one in found) or "pip-audit: nothing but what is excepted")
    return bool(found)


def _exceptions() -> set[tuple[str, str]]:
    """Packages and ids; each line says also when it was decided, and why."""
    lines = EXCEPTIONS.read_text("utf-8").splitlines()
    return {_exception(line) for line in lines if line.strip() and not line.startswith("#")}


def _exception(line: str) -> tuple[str, str]:
    fields = re.fullmatch(r"(\S+) +(\S+) +(\d{4}-\d\d-\d\d) +(\S.*)", line)
    if fields is None or date.fromisoformat(fields[3]) > date.today():  # noqa: DTZ011  # a day, wherever one is
        sys.exit(f"{EXCEPTIONS.name}: write package, id, date and reason: {line}")
    return fields[1].lower(), fields[2]


def _is_excepted(found: Weakness, exceptions: set[tuple[str, str]]) -> bool:
    return any((found.package.lower(), number) in exceptions for number in found.ids)


def _is_answered() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weak.txt"
        path.write_text(KNOWN_WEAK, "utf-8")
        try:
            return bool(_audit(path))
        except AuditError:
            return False


def _audit(path: Path) -> list[Weakness]:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise AuditError(f"pip-audit: {path.name} could not be audited:\n{done.stderr}") from None
    return [_weakness(one, said) for one in found for said in one.get("vulns", [])]


def _weakness(one: dict[str, Any], said: dict[str, Any]) -> Weakness:
    return Weakness(one["name"], one["version"], frozenset({said["id"], *said["aliases"]}), tuple(said["fix_versions"]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AuditError as error:
        sys.exit(str(error))
