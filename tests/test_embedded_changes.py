"""What changes in the embedded Argilla is found as it is now, and told to those who listen."""

from __future__ import annotations

import http.server
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argilla_rest import STATUS, Api, ids, metadata, of_record, publish_everything, respond

from tutelage.feedback.server.lifecycle import Server


@pytest.fixture
def scratch(server: Server) -> Api:
    """A dataset to change at will."""
    owner = Api(server, server.api_key)
    owner.make_dataset(
        server.workspace, f"scratch-{time.monotonic_ns()}", distribution={"strategy": "overlap", "min_submitted": 1}
    )
    publish_everything(owner)
    return owner


def test_text_is_found_as_it_is_now(scratch: Api) -> None:
    scratch.upsert(
        [{"external_id": "1", "fields": {"text": "old words"}}, {"external_id": "2", "fields": {"text": "more words"}}]
    )
    scratch.upsert([{"external_id": "1", "fields": {"text": "new words"}}])
    assert scratch.find("old") == []
    assert scratch.find("new") == ["1"]
    scratch.call("PATCH", f"/records/{ids(scratch)['1']}", json={"fields": {"text": "newest words"}})
    assert scratch.find("new") == []
    assert scratch.find("newest") == ["1"]
    scratch.call("DELETE", f"/datasets/{scratch.dataset}/records", params={"ids": ids(scratch)["1"]})
    assert scratch.find("words") == ["2"]
    assert scratch.search({}) == ["2"]


def test_chats_are_searched_by_what_is_said_and_pictures_are_not(scratch: Api) -> None:
    talk = [{"role": "user", "content": "where is the invoice"}, {"role": "bot", "content": "lost"}]
    scratch.upsert(
        [{"external_id": "1", "fields": {"text": "x", "talk": talk, "picture": "https://example.org/cat.png"}}]
    )
    assert scratch.find("invoice lost") == ["1"]
    assert scratch.find("lost", "talk") == ["1"]
    assert scratch.find("cat") == []


def test_text_of_a_deleted_dataset_is_gone(scratch: Api, server: Server) -> None:
    scratch.upsert([{"external_id": "1", "fields": {"text": "vanishing"}}])
    scratch.call("DELETE", f"/datasets/{scratch.dataset}")
    assert leftovers(server.data_dir, "vanishing") == 0


def leftovers(data_dir: Path, word: str) -> int:
    connection = sqlite3.connect(data_dir / "argilla.db")
    try:
        in_texts = connection.execute("SELECT count(*) FROM search_texts WHERE text LIKE ?", [f"%{word}%"])
        in_index = connection.execute("SELECT count(*) FROM search_matches WHERE search_matches MATCH ?", [word])
        return int(in_texts.fetchone()[0] + in_index.fetchone()[0])
    finally:
        connection.close()


def test_metadata_alone_is_updated_and_found(scratch: Api) -> None:
    scratch.upsert([{"external_id": "1", "fields": {"text": "kept"}, "metadata": {"suspect_rank": 5}}])
    scratch.upsert([{"external_id": "1", "metadata": {"suspect_rank": 1}}])
    assert scratch.filter(metadata("suspect_rank"), le=1) == ["1"]
    assert scratch.find("kept") == ["1"]


def test_a_changed_minimum_counts_and_its_job_does_not_fail(scratch: Api, server: Server) -> None:
    scratch.upsert([{"external_id": "1", "fields": {"text": "x"}}])
    change = {"distribution": {"strategy": "overlap", "min_submitted": 2}}
    scratch.call("PATCH", f"/datasets/{scratch.dataset}", json=change)
    respond(scratch, scratch, "1", "submitted", label="positive")
    assert scratch.filter(of_record("status"), "pending") == ["1"]
    assert "Job " not in (server.data_dir / "server.log").read_text()


def test_vectors_and_the_hub_are_refused_in_words(scratch: Api) -> None:
    scratch.call(
        "POST", f"/datasets/{scratch.dataset}/vectors-settings", json={"name": "v", "title": "v", "dimensions": 2}
    )
    scratch.upsert([{"external_id": "1", "fields": {"text": "x"}, "vectors": {"v": [0.1, 0.2]}}])
    path = f"/datasets/{scratch.dataset}/records/search"
    answer = scratch.http.post(path, json={"query": {"vector": {"name": "v", "value": [1, 2]}}})
    assert (answer.status_code, "vectors" in answer.text) == (422, True)
    hub = {"name": "n", "subset": "s", "split": "t", "private": False, "token": "t"}
    answer = scratch.http.post(f"/datasets/{scratch.dataset}/export", json=hub)
    assert (answer.status_code, "Hugging Face Hub" in answer.text) == (422, True)


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a web server and what was posted to it."""
    posts: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    listener = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}/", posts
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_events_of_records_reach_a_webhook(scratch: Api, received: tuple[str, list[dict[str, Any]]]) -> None:
    url, posts = received
    wanted = ["record.created", "record.updated", "record.completed", "record.deleted", "response.created"]
    hook = scratch.call("POST", "/webhooks", json={"url": url, "events": wanted})
    scratch.upsert([{"external_id": str(n), "fields": {"text": "x"}} for n in range(3)])
    scratch.upsert([{"external_id": "0", "fields": {"text": "y"}}])
    respond(scratch, scratch, "0", "submitted", label="positive")
    scratch.call("DELETE", f"/datasets/{scratch.dataset}/records", params={"ids": ids(scratch)["1"]})
    deadline = time.monotonic() + 10
    while len(posts) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    scratch.call("DELETE", f"/webhooks/{hook['id']}")
    kinds = sorted(post["type"] for post in posts)
    assert kinds == [
        "record.completed",
        *["record.created"] * 3,
        "record.deleted",
        *["record.updated"] * 2,
        "response.created",
    ]
    assert posts[0]["data"]["dataset"]["workspace"]["name"] == "tutelage"


# A queue and its annotators


PENDING = {"type": "terms", "scope": STATUS, "values": ["pending"]}


def annotator(scratch: Api, server: Server) -> Api:
    person = Api(server, server.annotator_api_key)
    person.dataset = scratch.dataset
    return person


def ranked(scratch: Api) -> None:
    """Records whose order of arrival is not that of their ranks, and some beyond the queue."""
    quality = {"name": "label_quality", "title": "Label quality", "settings": {"type": "float"}}
    scratch.call("POST", f"/datasets/{scratch.dataset}/metadata-properties", json=quality)
    order = {"3": (3, 0.3), "1": (1, 0.1), "2": (2, 0.2), "5": (None, 0.9), "4": (None, 0.4)}
    scratch.upsert(
        [
            {
                "external_id": name,
                "fields": {"text": f"text {name}"},
                "metadata": {"label_quality": score} | ({"suspect_rank": rank} if rank else {}),
            }
            for name, (rank, score) in order.items()
        ]
    )


def test_the_pending_view_is_worst_first_where_no_order_is_asked_for(scratch: Api, server: Server) -> None:
    ranked(scratch)
    person = annotator(scratch, server)
    pending = {"filters": {"type": "and", "and": [PENDING]}}
    assert person.search(pending, me=True) == ["1", "2", "3", "4", "5"]
    assert person.search({**pending, "query": {"text": {"q": "text"}}}, me=True) != []
    rank = {"scope": metadata("label_quality"), "order": "desc"}
    assert person.search({**pending, "sort": [rank]}, me=True) == ["5", "4", "3", "2", "1"]
    respond(scratch, person, "1", "submitted", label="positive")
    assert person.search(pending, me=True) == ["2", "3", "4", "5"]


def test_an_annotator_reads_no_answers_of_others(scratch: Api, server: Server) -> None:
    scratch.upsert([{"external_id": "1", "fields": {"text": "x"}}])
    person = annotator(scratch, server)
    respond(scratch, scratch, "1", "submitted", label="positive")
    record = f"/records/{ids(scratch)['1']}"
    assert person.call("GET", record)["responses"] == []
    mine = respond(scratch, person, "1", "submitted", label="negative")
    assert [response["id"] for response in person.call("GET", record)["responses"]] == [mine["id"]]
    assert len(scratch.call("GET", record)["responses"]) == 2, "the owner reads all, and none was lost"
