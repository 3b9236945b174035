"""A task with its ledger on the real Argilla, and the people who answer there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import httpx

from tutelage.core.records import Record, Voter
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.server.lifecycle import Server
from tutelage.feedback.snapshot import load_snapshot
from tutelage.loaders.ledger import Answer, Ledger
from tutelage.steps.review.loop import Loop

QUICK = (0.01, 0.01)


class Person:
    """Somebody who answers through the API, as the page does."""

    def __init__(self, url: str, api_key: str, name: str) -> None:
        self.name = name
        self.http = httpx.Client(
            base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": api_key}, trust_env=False, timeout=60
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def answer(self, record: str, label: str | None, reason: str = "", status: str = "submitted") -> dict[str, Any]:
        """Answer a record, by its id on the server."""
        values = {"label": {"value": label}} if label else {}
        values |= {"reason": {"value": reason}} if reason else {}
        body = {"status": status, "values": values or None}
        return dict(self.call("POST", f"/records/{record}/responses", json=body))


class Shop:
    """A task directory, and what is done with it."""

    def __init__(self, workspace: Workspace, server: Server, people: list[Person]) -> None:
        self.workspace, self.server, self._people = workspace, server, people
        self.owner = self._person(server.api_key, server.owner)

    def _person(self, api_key: str, name: str) -> Person:
        self._people.append(Person(self.server.url, api_key, name))
        return self._people[-1]

    # What is in task.db

    def add(self, *votes: Sequence[str | None] | str, start: int = 0, given: str | None = None) -> None:
        """Records r0, r1, ... with these votes each (None: said nothing of use), each with a reason."""
        records = [Record(f"r{n}", f"text {n}", given) for n in range(start, start + len(votes))]
        answers = [
            Answer(
                record_id=record.id,
                voter=Voter("llm", "plain", i),
                label_text=label or "hm",
                reason=f"{label} because {i}",
            )
            for record, labels in zip(records, votes, strict=True)
            for i, label in enumerate([labels] if isinstance(labels, str) else labels, 1)
        ]
        with Ledger(self.workspace.db) as ledger:
            ledger.add(records, answers)

    def vote(self, record: str, label: str, reason: str = "", number: int = 9) -> None:
        """One more vote."""
        with Ledger(self.workspace.db) as ledger:
            ledger.add(
                [], [Answer(record_id=record, voter=Voter("llm", "more", number), label_text=label, reason=reason)]
            )

    # Steps

    @contextmanager
    def loop(self, url: str = "", waits: Sequence[float] = QUICK) -> Iterator[Loop]:
        with (
            ArgillaClient(url or self.server.url, self.server.api_key, waits=waits) as argilla,
            Ledger(self.workspace.db) as ledger,
        ):
            yield Loop(self.workspace, ledger, argilla)

    def push(self, url: str = "") -> Any:
        with self.loop(url) as loop:
            return loop.push()

    def counts(self, url: str = "") -> tuple[int, int, int, int]:
        """Push; how many were sent, sent metadata only, unchanged, rejected."""
        done = self.push(url)
        return done.sent, done.metadata_only, done.unchanged, len(done.rejected)

    def pull(self, url: str = "") -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]:
        """Pull; the rows of the snapshot by id, its manifest, and the summary of what was fetched."""
        with self.loop(url) as loop:
            summary = asdict(loop.pull())
        snapshot = load_snapshot(self.workspace.snapshots, summary["snapshot"])
        frame = snapshot.frame().set_index("id")
        frame["label"] = frame["label"].astype(object).where(frame["label"].notna(), None)
        rows = frame.to_dict("index")
        return rows, dict(snapshot.manifest), summary

    # What is on the server

    @property
    def dataset(self) -> Dataset:
        with self.loop() as loop:
            return loop.dataset()

    def on_server(self) -> dict[str, dict[str, Any]]:
        """The records as the server has them, by external id."""
        path, there = f"/datasets/{self.dataset.id}/records", {}
        params = {"include": "responses,suggestions", "limit": 1000}
        for item in self.owner.call("GET", path, params=params)["items"]:
            assert item["external_id"] not in there, "doubled"
            there[item["external_id"]] = item
        return there

    def properties(self) -> dict[str, str]:
        """The dataset's metadata properties: their ids by name."""
        items = self.owner.call("GET", f"/me/datasets/{self.dataset.id}/metadata-properties")["items"]
        return {item["name"]: item["id"] for item in items}

    def dataset_records(self) -> list[dict[str, Any]]:
        """All pages of them."""
        with self.loop() as loop:
            return list(loop.dataset().records())

    def state(self) -> dict[str, Any]:
        """What must be the same however one got there: all but server ids and times."""
        questions = {
            q["id"]: q["name"] for q in self.owner.call("GET", f"/datasets/{self.dataset.id}/questions")["items"]
        }
        return {
            name: (
                item["fields"],
                item["metadata"],
                sorted((questions[s["question_id"]], s["value"], s["score"], s["agent"]) for s in item["suggestions"]),
                [(r["user_id"], r["status"], r["values"]) for r in item["responses"]],
            )
            for name, item in self.on_server().items()
        }

    def suggestions(self, record: str) -> dict[str, Any]:
        return {name: value for name, value, _, _ in self.state()[record][2]}

    # People

    def annotator(self) -> Person:
        """The annotator of the embedded Argilla."""
        with self.loop() as loop:
            loop.argilla.add_annotator(self.workspace.task, self.server.annotator)  # type: ignore[union-attr]
        return self._person(self.server.annotator_api_key, self.server.annotator)

    def hire(self) -> Person:
        """Another annotator."""
        name = f"ann-{uuid4().hex[:8]}"
        user = {"username": name, "first_name": name, "password": uuid4().hex, "role": "annotator"}
        made = self.owner.call("POST", "/users", json=user)
        with self.loop() as loop:
            loop.argilla.add_annotator(self.workspace.task, name)  # type: ignore[union-attr]
        return self._person(made["api_key"], name)

    def fire(self, person: Person) -> None:
        """Delete an annotator's account."""
        users = self.owner.call("GET", "/users")["items"]
        self.owner.call("DELETE", f"/users/{next(u['id'] for u in users if u['username'] == person.name)}")

    def answer(self, person: Person, record: str, label: str | None, **more: Any) -> dict[str, Any]:
        return person.answer(self.on_server()[record]["id"], label, **more)

    def delete_dataset(self) -> None:
        self.owner.call("DELETE", f"/datasets/{self.dataset.id}")
