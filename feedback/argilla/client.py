"""The one file that imports the Argilla SDK: signing in, and making the dataset of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

import httpx

from tutelage.core.errors import ServerError, SettingsError
from tutelage.core.settings import split_userinfo, unprintable
from tutelage.core.task import Task
from tutelage.feedback.argilla.dataset import Dataset, check_dataset
from tutelage.feedback.argilla.payload import (
    FIELD_TITLES,
    LABEL,
    PROPERTIES,
    REASON,
    TEXT,
    VOTES,
    guidelines_of,
    questions_of,
)
from tutelage.feedback.argilla.people import People
from tutelage.feedback.argilla.remote import WAITS, RefusedError, Remote, is_passing


class ArgillaClient:
    """A signed-in connection to an Argilla server."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        annotator: str = "",
        timeout: float = 60,
        waits: Sequence[float] = WAITS,
        say: Callable[[str], None] = lambda _words: None,
    ) -> None:
        """Sign in.

        Parameters
        ----------
        annotator
            A user who is let into the workspace of a dataset that is pushed to where no other annotator is in it.
        timeout, waits
            Seconds for an answer, and between attempts.
        say
            Called when the server has to be waited for.

        Raises
        ------
        ServerError
            When the server does not answer or does not know the key.
        """
        url, self._auth = split_userinfo(url)
        self._http = httpx.Client(
            base_url=_checked(url),
            auth=self._auth,
            headers={"X-Argilla-Api-Key": _checked_key(api_key)},
            timeout=timeout,
            trust_env=not _is_local(url),  # no proxy stands between us and this machine
        )
        self.remote = Remote(self._http, waits=waits, say=say)
        try:
            me = self.remote.request("GET", "me")
            self.user = {key: me[key] for key in ("id", "username", "role")}
        except BaseException as error:
            self._http.close()
            if not isinstance(error, RefusedError):
                raise
            raise ServerError(f"Argilla at {url} refused the API key ({error.status}); check ARGILLA_API_KEY") from None
        self._url, self._api_key, self._annotator = url, api_key, annotator

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def dataset(self, task: Task) -> Dataset | None:
        """The task's dataset, if it has been made.

        Raises
        ------
        SettingsError
            When it no longer fits the task.
        """
        found = self._find(task)
        if found is None or found["status"] != "ready":
            return None
        dataset = Dataset(found["id"], task, self.remote)
        check_dataset(dataset, task)
        return dataset

    def ensure_dataset(self, task: Task) -> tuple[Dataset, bool]:
        """The task's dataset, made when missing with its workspace; and whether it was made now."""
        dataset = self.dataset(task)
        is_new = dataset is None
        if dataset is None:
            self._make(task)
            dataset = self.dataset(task)
        if dataset is None:
            raise ServerError(
                f"Argilla at {self._url} made the dataset {task.dataset_name!r} but does not list it; push again"
            )
        self.refresh(dataset, task)
        if self._annotator and not any(member.role == "annotator" for member in self.people(task).members().values()):
            self.add_annotator(task, self._annotator)
        return dataset, is_new

    def people(self, task: Task) -> People:
        """Who answers in the task's workspace."""
        return People(self.remote, task.argilla.workspace, self.user["username"])

    def add_annotator(self, task: Task, username: str) -> None:
        """Let a user answer in the task's workspace."""
        workspace = self._workspace(task)
        users = self.remote.request("GET", "users")["items"]
        member = self.remote.request("GET", f"workspaces/{workspace}/users")["items"]
        for user in users:
            if user["username"] == username and user["id"] not in {m["id"] for m in member}:
                self._step(task, "POST", f"workspaces/{workspace}/users", {"user_id": user["id"]})

    def users(self, task: Task) -> dict[str, str]:
        """Names of the users that exist, by id: all of them for an owner, those of the workspace for an admin."""
        path = "users" if self.user["role"] == "owner" else f"workspaces/{self._workspace(task)}/users"
        users = [self.user, *self.remote.request("GET", path)["items"]]
        return {user["id"]: user["username"] for user in users}

    def _workspace(self, task: Task) -> str | None:
        spaces = self.remote.request("GET", "me/workspaces")["items"]
        return next((space["id"] for space in spaces if space["name"] == task.argilla.workspace), None)

    def _find(self, task: Task) -> dict[str, Any] | None:
        workspace = self._workspace(task)
        if workspace is None:
            return None
        datasets = self.remote.request("GET", "me/datasets", params={"workspace_id": workspace})["items"]
        return next((found for found in datasets if found["name"] == task.dataset_name), None)

    def _make(self, task: Task) -> None:
        """Make the dataset and publish it.

        Each step is there already where another push, or one that was cut off, was faster: pushes at once
        make one dataset together, and none deletes what another makes.
        """
        try:
            draft = self._draft(task)
            for kind, bodies in self._described(task).items():
                self._add_missing(draft, task, kind, bodies)
            self._step(task, "PUT", f"datasets/{draft}/publish")
        except RefusedError as error:
            where = f"the dataset {task.dataset_name!r} in workspace {task.argilla.workspace!r}"
            if error.status in _NOT_ALLOWED:
                raise ServerError(
                    f"Argilla at {self._url} does not let {self.user['username']!r} make {where}: {error}. "
                    "It takes an owner, or an admin of an existing workspace."
                ) from None
            raise ServerError(f"Argilla at {self._url} did not make {where}: {error}; push again") from None

    def _described(self, task: Task) -> dict[str, dict[str, Any]]:
        """Its fields and questions as the SDK describes them, by name."""
        settings = self.remote.patiently(lambda: self._sdk_settings(task), is_passing)
        listed = {"fields": settings.fields, "questions": settings.questions}
        return {
            kind: {item.name: item.api_model().model_dump(include=_BODY) for item in items}
            for kind, items in listed.items()
        }

    def _sdk_settings(self, task: Task) -> Any:
        import argilla as rg

        # It signs in as it is made; where that fails nobody could close a connection that was kept open.
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            client = rg.Argilla(
                self._url,
                self._api_key,
                retries=0,
                trust_env=not _is_local(self._url),
                limits=limits,
                auth=self._auth,
            )
        except Exception as error:  # its own, pydantic's and httpx's errors
            if is_passing(error):
                raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ServerError(f"Argilla at {self._url} did not let its SDK sign in: {reason}; push again") from None
        with closing(client.http_client):
            return _settings(task)

    def _draft(self, task: Task) -> str:
        """The id of the dataset, which is made where there is none."""
        if self._workspace(task) is None:
            self._step(task, "POST", "workspaces", {"name": task.argilla.workspace})
        if self._find(task) is None:
            self._step(task, "POST", "datasets", _dataset_body(task, self._workspace(task)))
        found = self._find(task)
        if found is None:
            raise ServerError(f"Argilla at {self._url} does not list the dataset {task.dataset_name!r}; push again")
        return str(found["id"])

    def _add_missing(self, draft: str, task: Task, kind: str, wanted: Mapping[str, Any]) -> None:
        """Add the fields or questions that a draft lacks, and replace a question that the task asks otherwise now."""
        path = f"datasets/{draft}/{kind}"
        bodies = dict(wanted)
        for there in self.remote.request("GET", path)["items"]:
            if there["name"] not in bodies:
                raise SettingsError(
                    f"the unpublished dataset {task.dataset_name!r} at {self._url} was not made by tutelage: it has "
                    f"{there['name']!r}; delete it there, or name another one in task.yaml (argilla: dataset: NAME)"
                )
            if _asks_the_same(there, bodies[there["name"]]):
                del bodies[there["name"]]
            else:
                self._step(task, "DELETE", f"{kind}/{there['id']}")
        for body in bodies.values():
            self._step(task, "POST", path, body)

    def _step(self, task: Task, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Take a step unless another push was faster."""
        try:
            self.remote.change(method, path, body)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT:
                return
            found = self._find(task) if error.status in _TOO_LATE else None
            if found is None or found["status"] != "ready":
                raise

    def refresh(self, dataset: Dataset, task: Task) -> None:
        """Bring up to date what Argilla lets change: metadata properties, guidelines, answers that complete a record.

        Comes before anything is sent: Argilla refuses records with metadata that the dataset has no property for.

        Raises
        ------
        SettingsError
            When the dataset does not take the task's ``min_submitted`` any more.
        """
        self._add_properties(dataset)
        self._update(dataset, task)
        self._update_texts(dataset, "fields", {name: {"title": title} for name, title in FIELD_TITLES.items()})
        self._update_texts(dataset, "questions", questions_of(task))

    def _add_properties(self, dataset: Dataset) -> None:
        """Add those that are missing: all to a new dataset, some to one that an earlier version made."""
        path = f"datasets/{dataset.id}/metadata-properties"
        there = {found["name"] for found in self.remote.request("GET", f"me/{path}")["items"]}
        for name, (title, kind) in PROPERTIES.items():
            if name not in there:
                self._add_property(path, {"name": name, "title": title, "settings": {"type": kind}})

    def _add_property(self, path: str, body: dict[str, Any]) -> None:
        try:
            self.remote.change("POST", path, body)
        except RefusedError as error:
            if error.status != httpx.codes.CONFLICT:  # it is there: an answer was lost, or another push was faster
                raise

    def _update(self, dataset: Dataset, task: Task) -> None:
        now = self.remote.request("GET", f"datasets/{dataset.id}")
        wanted: dict[str, Any] = {"guidelines": guidelines_of(task)}
        if now["distribution"]["min_submitted"] != task.argilla.min_submitted:
            wanted["distribution"] = {"strategy": "overlap", "min_submitted": task.argilla.min_submitted}
        if any(now[key] != value for key, value in wanted.items()):
            try:
                self.remote.change("PATCH", f"datasets/{dataset.id}", wanted)
            except RefusedError as error:
                raise SettingsError(
                    f"dataset {task.dataset_name!r} does not take argilla.min_submitted: "
                    f"{task.argilla.min_submitted} any more ({error}); set it back, or choose a new argilla.dataset"
                ) from None

    def _update_texts(self, dataset: Dataset, kind: str, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Bring titles and descriptions of fields or questions up to date."""
        for found in self.remote.request("GET", f"datasets/{dataset.id}/{kind}")["items"]:
            texts = wanted.get(found["name"], {})
            if any(found[key] != value for key, value in texts.items()):
                self.remote.request("PATCH", f"{kind}/{found['id']}", json=texts)


def _checked(url: str) -> str:
    try:
        address = httpx.URL(url)
        address.host.encode("idna")  # as the look-up of the name does, which raises the same
    except (httpx.InvalidURL, UnicodeError):
        address = httpx.URL()
    if address.scheme not in {"http", "https"} or not address.host:
        raise ServerError(f"ARGILLA_API_URL is {url!r}; it must be an address like http://localhost:6900")
    return url


def _checked_key(api_key: str) -> str:
    """A key that can stand in a header."""
    if place := unprintable(api_key):
        raise ServerError(
            f"ARGILLA_API_KEY has {api_key[place - 1]!r} at character {place}, which no key has; copy the key again "
            "from Argilla (My settings) into the environment or .env"
        )
    return api_key


def _is_local(url: str) -> bool:
    return httpx.URL(url).host in {"localhost", "127.0.0.1", "::1"}


_BODY = {"name", "title", "required", "settings"}
"""What makes a field or a question."""
_NOT_ALLOWED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
_TOO_LATE = (httpx.codes.NOT_FOUND, httpx.codes.UNPROCESSABLE_ENTITY)
"""How Argilla answers to changes of what is published meanwhile."""


def _dataset_body(task: Task, workspace: str | None) -> dict[str, Any]:
    return {
        "name": task.dataset_name,
        "workspace_id": workspace,
        "guidelines": guidelines_of(task),
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": task.argilla.min_submitted},
    }


def _asks_the_same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a field or question has the title and the labels that are wanted."""
    labels = [[option["value"] for option in one["settings"].get("options") or []] for one in (there, wanted)]
    return bool(there["title"] == wanted["title"] and labels[0] == labels[1])


def _settings(task: Task) -> Any:
    import argilla as rg

    texts = questions_of(task)
    return rg.Settings(
        guidelines=guidelines_of(task),
        fields=[
            rg.TextField(name=TEXT, title=FIELD_TITLES[TEXT], use_markdown=False),
            rg.TextField(name=VOTES, title=FIELD_TITLES[VOTES], use_markdown=False, required=False),
        ],
        questions=[
            rg.LabelQuestion(name=LABEL, labels=list(task.label_names), **texts[LABEL]),
            rg.TextQuestion(name=REASON, use_markdown=False, required=False, **texts[REASON]),
        ],
        distribution=rg.TaskDistribution(min_submitted=task.argilla.min_submitted),
    )
