"""`make lint` asks for known weaknesses of what is pinned: of the service that pip-audit asks, here one of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from conftest import ROOT

WEAK = {"jinja2": "2.4.1", "pillow": "1.0"}
Audit = Callable[..., "CompletedProcess[str]"]


class Advisories(BaseHTTPRequestHandler):
    """Knows two weak packages, in the form of OSV's answers."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = asked["package"]["name"], asked["version"]
        fixed = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": fixed}]
        weakness = {"id": f"PYSEC-{name}", "aliases": [f"CVE-{name}"], "summary": "x", "affected": affected}
        body = json.dumps({"vulns": [weakness]} if WEAK.get(name) == version else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/query"
        server.shutdown()


@pytest.fixture
def audit(tmp_path: Path, service: str) -> Audit:
    def run(pinned: str, *, exceptions: str = "", url: str = service) -> CompletedProcess[str]:
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "audit.py", tmp_path / ".ci")
        (tmp_path / ".ci" / "audit-exceptions.txt").write_text(exceptions, "utf-8")
        (tmp_path / "feedback" / "embedded").mkdir(parents=True)
        (tmp_path / "constraints.txt").write_text("idna==3.20\n", "utf-8")
        (tmp_path / "feedback" / "embedded" / "requirements.txt").write_text(pinned, "utf-8")
        env = {**os.environ, "PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url, "NO_PROXY": "*"}
        command = [sys.executable, str(tmp_path / ".ci" / "audit.py")]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    return run


def test_a_weakness_in_either_file_fails(audit: Audit) -> None:
    done = audit("pillow==1.0\n")
    assert (done.returncode, done.stdout) == (
        1,
        "requirements.txt: pillow 1.0: CVE-pillow, PYSEC-pillow; fixed in 99\n",
    )


@pytest.mark.parametrize("number", ["CVE-pillow", "PYSEC-pillow"])
def test_an_exception_passes_under_any_of_its_numbers(audit: Audit, number: str) -> None:
    done = audit("pillow==1.0\n", exceptions=f"# known\npillow {number} 2026-11-21 no pictures are read\n")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_exception_of_another_package_does_not(audit: Audit) -> None:
    assert audit("pillow==1.0\n", exceptions="idna CVE-pillow 2026-11-21 no pictures are read\n").returncode == 1


@pytest.mark.parametrize("line", ["pillow CVE-1", "pillow CVE-1 2026-11-21", "pillow CVE-1 2999-01-01 later"])
def test_an_exception_says_when_and_why(audit: Audit, line: str) -> None:
    done = audit("idna==3.20\n", exceptions=line)
    assert done.returncode == 1
    assert f"write package, id, date and reason: {line}" in done.stderr


def test_without_the_service_nothing_is_checked_and_said_so(audit: Audit) -> None:
    done = audit("pillow==1.0\n", url="http://127.0.0.1:9/query")
    assert (done.returncode, done.stdout) == (0, "pip-audit: not checked: the service cannot be reached\n")


def test_what_cannot_be_audited_is_not_passed_over(audit: Audit) -> None:
    done = audit("pillow>=1.0\n")
    assert done.returncode == 1
    assert "requirements.txt could not be audited" in done.stderr


def test_the_exceptions_are_of_what_is_pinned() -> None:
    lines = (ROOT / ".ci" / "audit-exceptions.txt").read_text("utf-8").splitlines()
    excepted = {line.split()[0] for line in lines if line and not line.startswith("#")}
    files = (ROOT / "constraints.txt", ROOT / "feedback" / "embedded" / "requirements.txt")
    pinned = {line.partition("==")[0] for file in files for line in file.read_text("utf-8").splitlines()}
    assert excepted <= pinned
