"""The people who answer: their accounts, on the real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from data_home import own_data_home
from shop import Shop

from tutelage.core.errors import ServerError, TutelageError
from tutelage.feedback.argilla.people import check_name, new_password
from tutelage.feedback.server.lifecycle import down, up
from tutelage.project import Project
from tutelage.steps.review.annotators import SignIn

Run = Callable[..., subprocess.CompletedProcess[str]]


def somebody(stem: str = "anna") -> str:
    return f"{stem}-{uuid4().hex[:8]}"


@pytest.fixture
def project(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The shop's task, in a workspace of its own, as somebody with an own server has it."""
    return as_owner(shop, monkeypatch, shop.server.api_key)


def as_owner(shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str) -> Project:
    monkeypatch.setenv("ARGILLA_API_URL", shop.server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", key)
    path = shop.workspace.root / "task.yaml"
    if "workspace" not in path.read_text("utf-8"):
        path.write_text(path.read_text("utf-8") + f"argilla: {{workspace: space-{uuid4().hex[:8]}}}\n", "utf-8")
    shop.workspace.__dict__.pop("task", None)
    return Project(shop.workspace.root)


def can_sign_in(url: str, name: str, password: str) -> bool:
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{url}/api/v1/token", data={"username": name, "password": password})
    assert answer.status_code in (201, 401), answer.text
    return answer.status_code == 201


def test_a_new_person_can_sign_in_and_answers_count(shop: Shop, project: Project) -> None:
    project.push()
    name = somebody()
    done = project.annotators.add(name)
    assert (done.name, done.role, done.created, done.joined) == (name, "annotator", True, True)
    assert done.link == shop.dataset.queue_link
    assert can_sign_in(shop.server.url, name, done.password)
    key = {user["username"]: user["api_key"] for user in shop.owner.call("GET", "/users")["items"]}[name]
    person = shop._person(key, name)
    shop.answer(person, "r0", "positive")
    shop.answer(person, "r1", "neutral", status="draft")
    shop.answer(person, "r2", None, status="discarded")
    (listed,) = [one for one in project.annotators.list() if one.name == name]
    assert (listed.role, listed.submitted, listed.discarded, listed.drafts) == ("annotator", 1, 1, 1)
    assert listed.link == done.link


def test_people_can_be_let_in_before_the_first_push(shop: Shop, project: Project) -> None:
    done = project.annotators.add(somebody(), role="admin")
    assert (done.role, done.joined, done.link) == ("admin", True, shop.server.url)
    assert [one.name for one in project.annotators.list()] == [done.name]
    project.push()
    shown = {one.name: one.link for one in project.annotators.list()}
    assert shown[done.name] == shop.dataset.queue_link


def test_an_account_that_is_there_keeps_its_password_and_role(shop: Shop, project: Project) -> None:
    name, password = somebody("bert@example.org"), "a password of his own"
    shop.owner.call(
        "POST", "/users", json={"username": name, "first_name": "B", "password": password, "role": "annotator"}
    )
    done = project.annotators.add(name, role="admin")
    assert (done.created, done.joined, done.role, done.password) == (False, True, "annotator", "")
    assert can_sign_in(shop.server.url, name, password)
    again = project.annotators.add(name)
    assert (again.created, again.joined) == (False, False)


def test_a_new_password_ends_the_old_one(shop: Shop, project: Project) -> None:
    done = project.annotators.add(somebody())
    new = project.annotators.password(done.name)
    assert can_sign_in(shop.server.url, done.name, new.password)
    assert not can_sign_in(shop.server.url, done.name, done.password)


def test_who_is_removed_keeps_account_and_answers(shop: Shop, project: Project) -> None:
    project.push()
    done = project.annotators.add(somebody())
    key = {user["username"]: user["api_key"] for user in shop.owner.call("GET", "/users")["items"]}[done.name]
    shop.answer(shop._person(key, done.name), "r0", "negative")
    project.pull()
    removed = project.annotators.remove(done.name)
    assert (removed.name, removed.answers) == (done.name, 1)
    assert done.name not in {one.name for one in project.annotators.list()}
    assert can_sign_in(shop.server.url, done.name, done.password)
    assert [one["status"] for one in shop.on_server()["r0"]["responses"]] == ["submitted"]
    pulled = project.pull()
    assert (pulled.by_annotator, pulled.withdrawn) == ({done.name: 1}, 0)
    with pytest.raises(TutelageError, match=f"nobody called '{done.name}' is in the workspace"):
        project.annotators.remove(done.name)
    with pytest.raises(TutelageError, match=f"nobody called '{done.name}' is in the workspace"):
        project.annotators.password(done.name)


def test_the_account_that_is_signed_in_is_not_removed(shop: Shop, project: Project) -> None:
    project.annotators.add(shop.server.owner)
    with pytest.raises(TutelageError, match="'owner' is the account that tutelage itself uses"):
        project.annotators.remove(shop.server.owner)
    assert shop.server.owner in {one.name for one in project.annotators.list()}


def test_an_admin_is_told_what_takes_an_owner(shop: Shop, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.push()
    admin = project.annotators.add(somebody("admin"), role="admin")
    key = {user["username"]: user["api_key"] for user in shop.owner.call("GET", "/users")["items"]}[admin.name]
    as_admin = as_owner(shop, monkeypatch, key)
    assert admin.name in {one.name for one in as_admin.annotators.list()}
    with pytest.raises(ServerError, match=r"does not let '.*' see the accounts: that takes an owner"):
        as_admin.annotators.add(somebody())
    other = project.annotators.add(somebody())
    with pytest.raises(ServerError, match=f"change the password of '{other.name}': that takes an owner"):
        as_admin.annotators.password(other.name)
    as_admin.annotators.remove(other.name)
    assert other.name not in {one.name for one in project.annotators.list()}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (" anna", "begins or ends with a space"),
        ("an\nna", "cannot be seen"),
        ("an\u200bna", "cannot be seen"),
        ("a" * 101, "is longer than 100 characters"),
    ],
)
def test_a_name_that_cannot_serve_is_refused_before_anything_is_sent(name: str, problem: str) -> None:
    with pytest.raises(TutelageError, match=problem):
        check_name(name)


@pytest.mark.parametrize("name", ["anna", "anna@example.org", "Änne Müller", "a.b", "安娜", "-"])
def test_a_name_that_argilla_takes_is_taken(project: Project, name: str) -> None:
    check_name(name)
    done = project.annotators.add(name)
    assert done.name in {one.name for one in project.annotators.list()}


def test_passwords_differ_and_can_be_typed() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    assert all(word.isalnum() and len(word) == 16 for word in made)


def test_the_commands_say_what_they_did(shop: Shop, project: Project, tutelage: Run) -> None:
    name, where = somebody(), ("--task", shop.workspace.root)
    project.push()
    said = tutelage("annotators", "add", name, *where).stdout
    assert shop.dataset.queue_link in said
    assert said.endswith(f"a new one: tutelage annotators password {name} --task {shop.workspace.root}\n")
    password = said.partition("with password ")[2].split()[0]
    assert can_sign_in(shop.server.url, name, password)
    assert "nothing was changed" in tutelage("annotators", "add", name, *where).stdout
    told: SignIn = SignIn(**json.loads(tutelage("annotators", "password", name, *where, "--json").stdout))
    assert can_sign_in(shop.server.url, name, told.password)
    assert password not in tutelage("annotators", "list", *where).stdout
    assert told.password not in tutelage("annotators", "list", *where, "--json").stdout
    assert "0 answers" in tutelage("annotators", "remove", name, *where).stdout
    failed = tutelage("annotators", "remove", name, *where, ok=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "nobody called" in failed.stderr


def test_on_the_embedded_argilla_up_names_the_new_password_and_the_removed_stay_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    for name, value in own_data_home(home).items():
        monkeypatch.setenv(name, value)
    server = up(port=0)
    try:
        project = Project(shop.workspace.root)
        project.push()
        new = project.annotators.password(server.annotator).password
        assert new != server.annotator_password
        assert project.up().annotator_password == new
        assert can_sign_in(server.url, server.annotator, new)
        other = project.annotators.add("anna")
        project.annotators.remove(server.annotator)
        project.push()
        down()
        server = up(port=0)
        assert [one.name for one in project.annotators.list()] == [other.name]
        project.annotators.remove(other.name)
        project.push()
        assert [one.name for one in project.annotators.list()] == [server.annotator]
    finally:
        down()
