"""docs/security.md is true: what it says of roles, limits, addresses and models, held against the code and the server.

Modes are held by test_modes.py, sign-ins by test_sign_in.py, the log by test_server_log.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from uuid import uuid4

from conftest import ROOT
from shop import Person, Shop

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
EMBEDDED = ROOT / "feedback" / "embedded"
LOADERS = {"from_pretrained", "SentenceTransformer"}


def hired(shop: Shop, role: str) -> Person:
    """Somebody of this role in the task's workspace."""
    name = f"{role}-{uuid4().hex[:8]}"
    user = {"username": name, "first_name": name, "password": uuid4().hex, "role": role}
    made = shop.owner.call("POST", "/users", json=user)
    with shop.loop() as loop:
        loop.argilla.add_annotator(shop.workspace.task, name)  # type: ignore[union-attr]
    return shop._person(made["api_key"], name)


def test_who_may_do_what(shop: Shop) -> None:
    """A row for each line of the table: the status that owner, admin and annotator are answered with."""
    shop.push()
    first = next(iter(shop.on_server().values()))
    people = [shop.owner, hired(shop, "admin"), hired(shop, "annotator")]
    answers = [one.answer(first["id"], "positive") for one in people]
    mine = answers[0]["id"]
    workspace = shop.owner.call("GET", f"/datasets/{shop.dataset.id}")["workspace_id"]
    asked = {
        "read other people's answers": (
            "GET",
            f"/datasets/{shop.dataset.id}/records",
            {"params": {"include": "responses"}},
        ),
        "change or remove other people's answers": ("PUT", f"/responses/{mine}", {"json": {"status": "discarded"}}),
        "make datasets, send records": ("POST", "/datasets", {"json": {"workspace_id": workspace}}),
        "accounts": ("GET", "/users", {}),
        "workspaces": ("POST", "/workspaces", {"json": {}}),
        "webhooks": ("GET", "/webhooks", {}),
    }
    refused = {what: [_is_refused(one, *request) for one in people] for what, request in asked.items()}
    in_workspace, owner_only = [False, False, True], [False, True, True]
    assert refused == {
        "read other people's answers": in_workspace,
        "change or remove other people's answers": in_workspace,
        "make datasets, send records": in_workspace,
        "accounts": owner_only,
        "workspaces": owner_only,
        "webhooks": owner_only,
    }


def _is_refused(person: Person, method: str, path: str, options: dict[str, object]) -> bool:
    name = f"made-{uuid4().hex[:8]}"
    if method == "POST":
        options = {"json": {**options["json"], "name": name}}  # type: ignore[dict-item]
    status = person.http.request(method, path, **options).status_code  # type: ignore[arg-type]
    assert status in {200, 201, 403}, f"{method} {path}: {status}"
    return status == 403


def test_its_numbers_are_those_of_the_server() -> None:
    limit, log = ((EMBEDDED / name).read_text("utf-8") for name in ("sign_in_limit.py", "server_log.py"))
    assert "PAIR, WIDE = 5, 20 " in limit
    assert "SECONDS = 10.0 " in limit
    assert "five wrong ones at once and one more every ten\nseconds" in PAGE
    assert "twenty and one more every ten seconds" in PAGE
    assert "LARGEST = 5_000_000 " in log
    assert "OLD = 3 " in log
    assert "is moved on at 5 MB, and three older ones are kept" in PAGE


def test_what_listens_listens_on_this_machine_unless_told(tutelage: Callable[..., CompletedProcess[str]]) -> None:
    said = re.sub(r"\s+", " ", tutelage("serve-student", "--help").stdout)
    assert "--host" in said
    assert "[default: 127.0.0.1]" in said
    assert 'HOST = "127.0.0.1"' in (EMBEDDED / "app.py").read_text("utf-8")
    said = re.sub(r"\s+", " ", tutelage("up", "--help").stdout)
    assert "default 127.0.0.1); another one needs ARGILLA_PASSWORD and ARGILLA_API_KEY" in said


def calls() -> Iterator[tuple[str, ast.Call]]:
    for folder in ("loaders", "training", "feedback", "tutelage"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and _name(node) in LOADERS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_every_model_is_loaded_from_safetensors_and_without_code_of_its_own() -> None:
    loads = dict(calls())
    assert len(loads) >= 5
    safe = re.search(r"^SAFE = (.*)$", (ROOT / "training/encoders/loading.py").read_text("utf-8"), re.MULTILINE)
    assert safe is not None
    assert ast.literal_eval(safe[1]) == {"trust_remote_code": False, "use_safetensors": True}
    for where, call in loads.items():
        words = ast.unparse(call)
        assert "**SAFE" in words or "trust_remote_code=False" in words, where
        is_model = "AutoTokenizer" not in words
        assert not is_model or "**SAFE" in words or "use_safetensors=True" in words or "model_kwargs=safe" in words, (
            where
        )
