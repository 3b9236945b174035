"""The one file that imports the Argilla SDK: signing in, and making the dataset of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import httpx

from tutelage.core.errors import ServerError, SettingsError
from tutelage.core.task import Task
from tutelage.feedback.payload import (
    LABEL,
    PROPERTIES,
    REASON,
    TEXT,
    VOTES,
    Payload,
    guidelines_of,
    questions_of,
)
from tutelage.feedback.remote import WAITS, RefusedError, Remote, is_passing

QUEUE_PATH = "/dataset/{id}/annotation-mode?status=pending&sort=metadata.suspect_rank.asc~metadata.label_quality.asc"


class ArgillaClient:
    """A signed-in connection to an Argilla server."""

    def __init__(
        self, url: str, api_key: str, *, annotator: str = "", timeout: float = 60, waits: Sequence[float] = WAITS
    ) -> None:
        """Sign in. ``annotator`` names a user who is let into the workspace of each dataset that is pushed to.

        Raises
        ------
        ServerError
            When the server does not answer or does not know the key.
        """
        self._http = httpx.Client(
            base_url=_checked(url),
            headers={"X-Argilla-Api-Key": api_key},
            timeout=timeout,
            trust_env=not _is_local(url),  # no proxy stands between us and this machine
        )
        self.remote = Remote(self._http, waits=waits)
        try:
            self.user = self.remote.request("GET", "me")
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
        _check(dataset, task)
        return dataset

    def ensure_dataset(self, task: Task) -> tuple[Dataset, bool]:
        """The task's dataset, made when missing with its workspace; and whether it was made now."""
        dataset = self.dataset(task)
        is_new = dataset is None
        if dataset is None:
            self.remote.patiently(lambda: self._create(task), is_passing)
            dataset = self.dataset(task)
        if dataset is None:
            raise ServerError(f"Argilla at {self._url} made the dataset {task.dataset_name!r} but does not list it")
        self.refresh(dataset, task)
        if self._annotator:
            self.add_annotator(task, self._annotator)
        return dataset, is_new

    def add_annotator(self, task: Task, username: str) -> None:
        """Let a user answer in the task's workspace."""
        workspace = self._workspace(task)
        users = self.remote.request("GET", "users")["items"]
        member = self.remote.request("GET", f"workspaces/{workspace}/users")["items"]
        for user in users:
            if user["username"] == username and user["id"] not in {m["id"] for m in member}:
                self.remote.request("POST", f"workspaces/{workspace}/users", json={"user_id": user["id"]})

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

    def _create(self, task: Task) -> None:
        """Make the dataset, unless an earlier try got through although its answer did not."""
        if found := self._find(task):
            if found["status"] == "ready":
                return
            self.remote.request("DELETE", f"datasets/{found['id']}")  # what was cut off before it was published
        self._create_with_sdk(task)

    def _create_with_sdk(self, task: Task) -> None:
        import argilla as rg
        from argilla._exceptions import ArgillaError

        try:
            # It signs in as it is made; where that fails nobody could close a connection that was kept open.
            limits = httpx.Limits(max_keepalive_connections=0)
            client = rg.Argilla(self._url, self._api_key, retries=0, trust_env=not _is_local(self._url), limits=limits)
            with closing(client.http_client):
                if self._workspace(task) is None:
                    rg.Workspace(name=task.argilla.workspace, client=client).create()
                rg.Dataset(
                    task.dataset_name, workspace=task.argilla.workspace, settings=_settings(task), client=client
                ).create()
        except ArgillaError as error:
            if is_passing(error):
                raise
            raise ServerError(
                f"Argilla at {self._url} does not let {self.user['username']!r} make the dataset "
                f"{task.dataset_name!r} in workspace {task.argilla.workspace!r}: {error.__cause__ or error}. "
                "It takes an owner, or an admin of an existing workspace."
            ) from None

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
        self._update_questions(dataset, task)

    def _add_properties(self, dataset: Dataset) -> None:
        """Add those that are missing: all to a new dataset, some to one that an earlier version made."""
        path = f"datasets/{dataset.id}/metadata-properties"
        there = {found["name"] for found in self.remote.request("GET", f"me/{path}")["items"]}
        for name, (title, kind) in PROPERTIES.items():
            if name not in there:
                self._add_property(path, {"name": name, "title": title, "settings": {"type": kind}})

    def _add_property(self, path: str, body: dict[str, Any]) -> None:
        try:
            self.remote.request("POST", path, json=body)
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
                self.remote.request("PATCH", f"datasets/{dataset.id}", json=wanted)
            except RefusedError as error:
                raise SettingsError(
                    f"dataset {task.dataset_name!r} does not take argilla.min_submitted: "
                    f"{task.argilla.min_submitted} any more ({error}); set it back, or choose a new argilla.dataset"
                ) from None

    def _update_questions(self, dataset: Dataset, task: Task) -> None:
        wanted = questions_of(task)
        for found in self.remote.request("GET", f"datasets/{dataset.id}/questions")["items"]:
            texts = wanted.get(found["name"], {})
            if any(found[key] != value for key, value in texts.items()):
                self.remote.request("PATCH", f"questions/{found['id']}", json=texts)


def _checked(url: str) -> str:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"http", "https"} or not address.host:
        raise ServerError(f"ARGILLA_API_URL is {url!r}; it must be an address like http://localhost:6900")
    return url


def _is_local(url: str) -> bool:
    return httpx.URL(url).host in {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Dataset:
    """A published dataset; ``id`` is its uuid, which a dataset made anew under the same name does not share."""

    id: str
    task: Task
    remote: Remote

    @property
    def queue_link(self) -> str:
        """Opens the annotation page, the worst suggestion first."""
        return self.remote.url + QUEUE_PATH.format(id=self.id)

    def put(self, payloads: Sequence[Payload]) -> None:
        """Add records or replace their fields, suggestions and metadata; responses stay. At most 500."""
        items: list[dict[str, Any]] = [
            {
                "external_id": payload.id,
                "fields": dict(payload.fields),
                "metadata": dict(payload.metadata),
                "suggestions": [
                    {"question_id": self._questions[name], **said} for name, said in payload.suggestions.items()
                ],
            }
            for payload in payloads
        ]
        made = {item["external_id"]: {said["question_id"] for said in item["suggestions"]} for item in items}
        for record in self._put(items)["items"]:
            self._withdraw(record, made[record["external_id"]])

    def _withdraw(self, record: Mapping[str, Any], made: set[str]) -> None:
        """Delete the suggestions that are not made any more; putting a record leaves them."""
        stale = [said["id"] for said in record.get("suggestions") or [] if said["question_id"] not in made]
        if stale:
            self.remote.request("DELETE", f"records/{record['id']}/suggestions", params={"ids": ",".join(stale)})

    def put_metadata(self, metadata: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the metadata of known records, by record id; all else stays. At most 500."""
        self._put([{"external_id": key, "metadata": dict(value)} for key, value in metadata.items()])

    def _put(self, items: Iterable[Mapping[str, Any]]) -> Any:
        return self.remote.request("PUT", f"datasets/{self.id}/records/bulk", json={"items": list(items)})

    @cached_property
    def _questions(self) -> dict[str, str]:
        questions = self.remote.request("GET", f"datasets/{self.id}/questions")["items"]
        return {question["name"]: question["id"] for question in questions}

    def count(self) -> int:
        """How many records the dataset holds."""
        return int(self.remote.request("GET", f"datasets/{self.id}/progress")["total"])

    def records(self) -> Iterable[dict[str, Any]]:
        """All records with their responses, as the server's JSON."""
        return self.remote.pages(f"datasets/{self.id}/records", include="responses")


def _settings(task: Task) -> Any:
    import argilla as rg

    texts = questions_of(task)
    return rg.Settings(
        guidelines=guidelines_of(task),
        fields=[
            rg.TextField(name=TEXT, title="Text", use_markdown=False),
            rg.TextField(name=VOTES, title="What the teacher said", use_markdown=False, required=False),
        ],
        questions=[
            rg.LabelQuestion(name=LABEL, labels=list(task.label_names), **texts[LABEL]),
            rg.TextQuestion(name=REASON, use_markdown=False, required=False, **texts[REASON]),
        ],
        distribution=rg.TaskDistribution(min_submitted=task.argilla.min_submitted),
    )


def _check(dataset: Dataset, task: Task) -> None:
    listed = {
        kind: {item["name"]: item for item in dataset.remote.request("GET", f"datasets/{dataset.id}/{kind}")["items"]}
        for kind in ("fields", "questions")
    }
    if not (listed["fields"].keys() >= {TEXT, VOTES} and listed["questions"].keys() >= {LABEL, REASON}):
        raise SettingsError(
            f"dataset {task.dataset_name!r} at {dataset.remote.url} was not made by tutelage; "
            "name another one in task.yaml (argilla: dataset: NAME)"
        )
    _check_labels([option["value"] for option in listed["questions"][LABEL]["settings"]["options"]], dataset, task)


def _check_labels(there: Sequence[str], dataset: Dataset, task: Task) -> None:
    missing = [name for name in task.label_names if name not in there]
    extra = [name for name in there if name not in task.label_names]
    if missing or extra:
        changes = [f"without {', '.join(map(repr, missing))}"] * bool(missing)
        changes += [f"with {', '.join(map(repr, extra))}"] * bool(extra)
        raise SettingsError(
            f"dataset {task.dataset_name!r} at {dataset.remote.url} was published {' and '.join(changes)}, and Argilla "
            "does not change the labels of a published dataset. Either set the labels in task.yaml back, or name a new "
            f"one there (argilla: dataset: {task.dataset_name}-2) and push again; the answers given so far stay in "
            "task.db and in the snapshots."
        )
