"""The embedded Argilla's search, answered by the real server."""

from __future__ import annotations

import time

import httpx
import pytest
from argilla_rest import (
    METADATA,
    STATUS,
    TEXTS,
    Api,
    Records,
    answered,
    ids,
    metadata,
    of_record,
    publish_everything,
    respond,
    suggested,
    suggestions,
)

from tutelage.feedback.server.lifecycle import Server

EVERYBODY = list("abcdef")


@pytest.fixture(scope="module")
def api(server: Server) -> Api:
    """The owner, and a dataset in which six records were upserted and some answered."""
    owner, annotator = Api(server, server.api_key), Api(server, server.annotator_api_key)
    distribution = {"strategy": "overlap", "min_submitted": 2}
    owner.make_dataset(server.workspace, "everything", distribution=distribution)
    publish_everything(owner)
    pre_answers = suggestions(owner)
    owner.upsert(
        [
            {
                "external_id": name,
                "fields": {"text": text, **({"note": note} if note else {})},
                "metadata": METADATA[name],
                "suggestions": pre_answers[name],
            }
            for name, (text, note) in TEXTS.items()
        ]
    )
    respond(owner, owner, "a", "submitted", label="positive", stars=9)
    respond(owner, annotator, "a", "submitted", label="negative", stars=10)
    respond(owner, owner, "b", "draft", label="negative", stars=10)
    respond(owner, annotator, "b", "discarded")
    respond(owner, annotator, "c", "submitted", label="positive", topics=["sales"], stars=2)
    return owner


@pytest.fixture(scope="module")
def annotator(server: Server, api: Api) -> Api:
    view = Api(server, server.annotator_api_key)
    view.dataset = api.dataset
    return view


def test_without_wishes_all_records_come_in_the_order_of_their_arrival(api: Api) -> None:
    assert api.search({}) == EVERYBODY
    answer = api.answer({}, offset=2, limit=2)
    assert [item["record"]["external_id"] for item in answer["items"]] == ["c", "d"]
    assert answer["total"] == 6


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("profit", ["a", "b", "e"]),
        ("PROFIT rose", ["a"]),
        ("profit report", ["a"]),  # one word in the text, the other in the note
        ('"sales rose"', ["c"]),
        ('"rose sales"', []),
        ("prof*", ["a", "b", "e"]),
        ("prof", []),
        ("rose -profit", ["c"]),
        ("-profit", ["c", "d", "f"]),
        ("court | café", ["c", "e"]),
        ("cafe", ["c"]),
        ("3.5", ["a"]),
        ("well-known", ["b"]),
        ("利润", ["d"]),
        ("company's", ["b"]),
        ('"value"', ["b"]),
        ("beijing", ["d"]),
    ],
)
def test_text_is_found_as_it_is_typed(api: Api, typed: str, found: Records) -> None:
    assert api.find(typed) == found


def test_text_is_found_in_one_field_only_when_one_is_named(api: Api) -> None:
    assert api.find("profit", "text") == ["a", "b"]
    assert api.find("profit", "note") == ["e"]


@pytest.mark.parametrize(
    "typed",
    ['"', "'", "*", "-", "AND", "NEAR(", "text:profit", 'a"b', "(", "^", "{x}", "%", "\\", "", "profit\0", "\ud7ff"],
)
def test_nothing_that_is_typed_is_an_error(api: Api, typed: str) -> None:
    assert set(api.find(typed)) <= set(EVERYBODY)


def test_better_matches_come_first(api: Api) -> None:
    answer = api.answer({"query": {"text": {"q": "profit | quarterly"}}})
    assert answer["items"][0]["record"]["external_id"] == "a"
    scores = [item["query_score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_metadata_filters(api: Api) -> None:
    assert api.filter(metadata("source"), "web") == ["a", "b"]
    assert api.filter(metadata("source"), "press", "10") == ["b", "c"]
    assert api.filter(metadata("source"), "nowhere") == []
    assert api.filter(metadata("suspect_rank"), ge=9, le=10) == ["a", "b"]
    assert api.filter(metadata("suspect_rank"), le=2) == ["d", "e"]
    assert api.filter(metadata("suspect_rank"), "100") == ["c"]
    assert api.filter(metadata("quality"), ge=0.25) == ["a", "b"]
    assert api.filter(metadata("quality"), le=0.0001) == ["c"]
    assert api.filter(metadata('Größe "x"'), ge=8) == ["e"]


def test_suggestion_filters(api: Api) -> None:
    assert api.filter(suggested("label"), "positive", "neutral") == ["a", "c", "e"]
    assert api.filter(suggested("topics"), "staff") == ["d"]
    assert api.filter(suggested("stars"), ge=9) == ["a", "b"]
    assert api.filter(suggested("stars"), "10") == ["b"]
    assert api.filter(suggested("label", "score"), ge=0.5, le=1) == ["a", "b"]
    assert api.filter(suggested("topics", "score"), ge=0.6) == ["d"]
    assert api.filter(suggested("label", "agent"), "student") == ["c"]


def test_response_filters_speak_of_everybody_or_of_oneself(api: Api, annotator: Api) -> None:
    assert api.filter(answered("label"), "negative") == ["a", "b"]
    assert annotator.filter(answered("label"), "negative", me=True) == ["a"]
    assert api.filter(answered("stars"), ge=10) == ["a", "b"]
    assert api.filter(answered("topics"), "sales") == ["c"]
    assert api.filter(answered("label"), "positive", me=True) == ["a"]


def test_response_status_filters_speak_of_everybody_or_of_oneself(api: Api, annotator: Api) -> None:
    assert api.filter(STATUS, "pending") == ["d", "e", "f"]
    assert api.filter(STATUS, "submitted") == ["a", "c"]
    assert api.filter(STATUS, "submitted", me=True) == ["a"]
    assert api.filter(STATUS, "pending", me=True) == ["c", "d", "e", "f"]
    assert annotator.filter(STATUS, "pending", "discarded", me=True) == ["b", "d", "e", "f"]
    assert annotator.filter(STATUS, "draft", me=True) == []


def test_record_filters(api: Api) -> None:
    assert api.filter(of_record("status"), "completed") == ["a"]
    assert api.filter(of_record("status"), "pending") == ["b", "c", "d", "e", "f"]
    assert api.filter(of_record("external_id"), "b", "x") == ["b"]
    assert api.filter(of_record("id"), ids(api)["c"], "no id") == ["c"]
    assert api.filter(of_record("inserted_at"), ge="2020-01-01", le="2100-01-01T00:00:00Z") == EVERYBODY
    assert api.filter(of_record("updated_at"), le="2020-01-01") == []
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert api.filter(of_record("inserted_at"), le=today) == EVERYBODY


def test_filters_are_joined_by_and_and_with_the_text(api: Api) -> None:
    web = {"type": "terms", "scope": metadata("source"), "values": ["web"]}
    pending = {"type": "terms", "scope": of_record("status"), "values": ["pending"]}
    assert api.search({"filters": {"and": [web, pending]}}) == ["b"]
    assert api.search({"filters": {"and": [web]}, "query": {"text": {"q": "million"}}}) == ["a"]


def test_numbers_sort_as_numbers_and_records_without_one_come_last(api: Api, annotator: Api) -> None:
    rank = metadata("suspect_rank")
    assert api.sort(rank) == ["d", "e", "a", "b", "c", "f"]
    assert api.sort(rank, order="desc") == ["c", "b", "a", "e", "d", "f"]
    assert annotator.sort(rank, me=True) == ["d", "e", "a", "b", "c", "f"]
    assert api.sort(metadata("quality"))[:3] == ["c", "b", "a"]
    assert api.sort(metadata("quality"), order="desc")[:3] == ["a", "b", "c"]
    assert api.sort(metadata("source")) == ["c", "b", "a", "d", "e", "f"]


def test_suggestions_responses_and_records_sort(api: Api, annotator: Api) -> None:
    assert api.sort(suggested("label", "score")) == ["c", "a", "b", "d", "e", "f"]
    assert api.sort(suggested("label", "score"), order="desc") == ["b", "a", "c", "d", "e", "f"]
    assert api.sort(suggested("stars"), order="desc")[:3] == ["b", "a", "c"]
    assert api.sort(suggested("topics", "score"), order="desc")[:2] == ["d", "e"]
    assert api.sort(answered("stars"))[:3] == ["c", "a", "b"]
    assert annotator.sort(answered("stars"), order="desc", me=True)[:2] == ["a", "c"]
    assert api.sort(of_record("inserted_at"), order="desc") == EVERYBODY[::-1]
    assert api.sort(of_record("status"), of_record("external_id")) == EVERYBODY
    assert api.sort(of_record("external_id"), order="desc") == EVERYBODY[::-1]


def test_each_annotator_meets_unsorted_records_in_an_order_of_their_own(server: Server) -> None:
    owner = Api(server, server.api_key)
    owner.make_dataset(server.workspace, "shuffled")
    publish_everything(owner)
    owner.upsert([{"external_id": str(n), "fields": {"text": "same words"}} for n in range(50)])
    other = Api(server, server.annotator_api_key)
    other.dataset = owner.dataset
    first, second = owner.search({}, me=True), other.search({}, me=True)
    assert sorted(first) == sorted(second)
    assert first != second
    assert first != sorted(first, key=int)
    assert first == owner.search({}, me=True)
    pages = [other.answer({}, me=True, offset=offset, limit=10)["items"] for offset in range(0, 50, 10)]
    assert [item["record"]["external_id"] for page in pages for item in page] == second
    assert len(set(other.search({"query": {"text": {"q": "words"}}}, me=True))) == 50


def test_metrics_of_metadata_for_the_filter_panel(api: Api) -> None:
    properties = api.call("GET", f"/me/datasets/{api.dataset}/metadata-properties")["items"]
    metrics = {p["name"]: api.call("GET", f"/metadata-properties/{p['id']}/metrics") for p in properties}
    assert metrics["suspect_rank"] == {"type": "integer", "min": -1, "max": 100}
    assert metrics["quality"] == {"type": "float", "min": 0.0, "max": 0.9}  # Argilla rounds to 5 digits
    counts = [{"term": "web", "count": 2}, {"term": "10", "count": 1}, {"term": "press", "count": 1}]
    assert metrics["source"] == {"type": "terms", "total": 4, "values": counts}


def test_progress(api: Api, annotator: Api) -> None:
    progress = api.call("GET", f"/datasets/{api.dataset}/progress")
    assert (progress["total"], progress["completed"], progress["pending"]) == (6, 1, 5)
    mine = annotator.call("GET", f"/me/datasets/{api.dataset}/metrics")
    assert mine["responses"] == {"total": 6, "submitted": 2, "discarded": 1, "draft": 0, "pending": 3}


def test_the_owner_signs_in_with_the_password(server: Server) -> None:
    for name, password in ((server.owner, server.owner_password), (server.annotator, server.annotator_password)):
        form = {"username": name, "password": password}
        assert httpx.post(f"{server.url}/api/v1/token", data=form, trust_env=False).status_code == 201
    stock = {"username": "argilla", "password": "12345678"}
    assert httpx.post(f"{server.url}/api/v1/token", data=stock, trust_env=False).status_code == 401


def test_the_log_holds_no_failed_request_and_no_secret(server: Server, api: Api) -> None:
    assert api.search({})
    log = (server.data_dir / "server.log").read_text()
    assert "Traceback" not in log
    assert " 500 " not in log
    for secret in (server.api_key, server.owner_password, server.annotator_password, server.annotator_api_key):
        assert secret not in log
