"""Argilla's REST interface for tests, and a dataset with everything that can be searched."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx

from tutelage.feedback.server.lifecycle import Server

Records = list[str]


class Api:
    """One user's view of one dataset; records go by their external ids."""

    opened: ClassVar[list[httpx.Client]] = []

    def __init__(self, running: Server, key: str) -> None:
        headers = {"X-Argilla-Api-Key": key}
        self.http = httpx.Client(base_url=f"{running.url}/api/v1", headers=headers, trust_env=False, timeout=60)
        self.opened.append(self.http)
        self.dataset = ""
        self.questions: dict[str, str] = {}

    @classmethod
    def close_all(cls) -> None:
        while cls.opened:
            cls.opened.pop().close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add(self, kind: str, name: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"name": name, "title": name, "settings": settings, **more}
        return dict(self.call("POST", f"/datasets/{self.dataset}/{kind}", json=body))

    def make_dataset(self, workspace: str, name: str, **more: Any) -> None:
        workspaces = self.call("GET", "/me/workspaces")["items"]
        workspace_id = next(w["id"] for w in workspaces if w["name"] == workspace)
        self.dataset = self.call("POST", "/datasets", json={"name": name, "workspace_id": workspace_id, **more})["id"]

    def upsert(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(self.call("PUT", f"/datasets/{self.dataset}/records/bulk", json={"items": records}))

    def answer(self, query: dict[str, Any], *, me: bool = False, **params: Any) -> dict[str, Any]:
        path = f"{'/me' * me}/datasets/{self.dataset}/records/search"
        return dict(self.call("POST", path, json=query, params=params))

    def search(self, query: dict[str, Any], *, me: bool = False) -> Records:
        """External ids in the order of the answer."""
        answer = self.answer(query, me=me)
        assert answer["total"] == len(answer["items"])
        return [item["record"]["external_id"] for item in answer["items"]]

    def find(self, text: str, field: str | None = None) -> Records:
        return sorted(self.search({"query": {"text": {"q": text, "field": field}}}))

    def filter(self, scope: dict[str, Any], *values: str, me: bool = False, **bounds: Any) -> Records:
        wanted = {"type": "terms", "values": values} if values else {"type": "range", **bounds}
        return sorted(self.search({"filters": {"and": [{"scope": scope, **wanted}]}}, me=me))

    def sort(self, *scopes: dict[str, Any], order: str = "asc", me: bool = False) -> Records:
        return self.search({"sort": [{"scope": scope, "order": order} for scope in scopes]}, me=me)


def labels(*names: str) -> list[dict[str, str]]:
    return [{"value": name, "text": name} for name in names]


def publish_everything(api: Api) -> None:
    """A dataset with every kind of field, question and metadata that can be searched."""
    for name in ("text", "note"):
        api.add("fields", name, {"type": "text"}, required=name == "text")
    api.add("fields", "picture", {"type": "image"})
    api.add("fields", "talk", {"type": "chat"})
    kinds = {
        "label": {"type": "label_selection", "options": labels("positive", "neutral", "negative")},
        "topics": {"type": "multi_label_selection", "options": labels("sales", "staff", "court")},
        "stars": {"type": "rating", "options": [{"value": value} for value in range(11)]},
        "reason": {"type": "text"},
    }
    for name, settings in kinds.items():
        api.questions[name] = api.add("questions", name, settings, required=name == "label")["id"]
    for name, kind in {
        "source": "terms",
        "suspect_rank": "integer",
        "quality": "float",
        'Größe "x"': "integer",
    }.items():
        api.add("metadata-properties", name, {"type": kind}, visible_for_annotators=True)
    api.call("PUT", f"/datasets/{api.dataset}/publish")


def suggestion(
    api: Api, question: str, value: Any, score: float | list[float] | None = None, agent: str = "teacher"
) -> dict[str, Any]:
    return {"question_id": api.questions[question], "value": value, "score": score, "agent": agent}


TEXTS = {
    "a": ("Profit rose to 3.5 million euros", "quarterly report"),
    "b": ('Profit fell; the company\'s well-known brand lost "value"', "press"),
    "c": ("Café sales rose", None),
    "d": ("今年利润增长", "report from Beijing"),
    "e": ("The court case goes on", "profit warning"),
    "f": ("Nothing to see", None),
}
METADATA: dict[str, dict[str, Any]] = {
    "a": {"suspect_rank": 9, "quality": 0.9, "source": "web"},
    "b": {"suspect_rank": 10, "quality": 0.25, "source": ["press", "web"]},
    "c": {"suspect_rank": 100, "quality": 1e-7, "source": "10"},
    "d": {"suspect_rank": -1, 'Größe "x"': 7},
    "e": {"suspect_rank": 2, 'Größe "x"': 12, "source": None},
    "f": {},
}


def suggestions(api: Api) -> dict[str, list[dict[str, Any]]]:
    return {
        "a": [suggestion(api, "label", "positive", 0.9), suggestion(api, "stars", 9)],
        "b": [suggestion(api, "label", "negative", 1.0), suggestion(api, "stars", 10)],
        "c": [suggestion(api, "label", "positive", 0.09, agent="student"), suggestion(api, "stars", 2)],
        "d": [suggestion(api, "topics", ["sales", "staff"], [0.2, 0.8])],
        "e": [suggestion(api, "label", "neutral"), suggestion(api, "topics", ["court"], [0.5])],
        "f": [],
    }


def ids(api: Api) -> dict[str, str]:
    records = api.call("GET", f"/datasets/{api.dataset}/records", params={"limit": 1000})["items"]
    return {record["external_id"]: record["id"] for record in records}


def respond(owner: Api, user: Api, record: str, status: str, **values: Any) -> Any:
    body = {"status": status, "values": {name: {"value": value} for name, value in values.items()}}
    return user.call("POST", f"/records/{ids(owner)[record]}/responses", json=body)


def metadata(name: str) -> dict[str, Any]:
    return {"entity": "metadata", "metadata_property": name}


def suggested(question: str, what: str = "value") -> dict[str, Any]:
    return {"entity": "suggestion", "question": question, "property": what}


def answered(question: str) -> dict[str, Any]:
    return {"entity": "response", "question": question}


def of_record(what: str) -> dict[str, Any]:
    return {"entity": "record", "property": what}


STATUS = {"entity": "response", "property": "status"}
