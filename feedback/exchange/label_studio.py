"""Label Studio: tasks with predictions for it, its labelling interface, and the answers in its JSON export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from tutelage.core.task import Task
from tutelage.feedback.argilla.payload import LABEL, REASON, TEXT, VOTES
from tutelage.feedback.curate import Curated
from tutelage.loaders.consensus import best_reason, shown
from tutelage.loaders.rows import Row

PERSON = "completed_by"


def task_of(item: Curated, votes: str) -> dict[str, Any]:
    """A record as a task; what is suggested is its prediction."""
    data = {"id": item.record.id, TEXT: item.record.text, VOTES: votes}
    suggestion = shown(item.suggestion)
    if suggestion is None:
        return {"data": data}
    result = [_result(LABEL, "choices", {"choices": [suggestion.label]})]
    if reason := best_reason(item.record.votes, suggestion.label):
        result.append(_result(REASON, "textarea", {"text": [reason]}))
    prediction: dict[str, Any] = {"model_version": suggestion.agent, "result": result}
    score = item.rank.label_quality if item.rank else suggestion.score
    return {"data": data, "predictions": [prediction if score is None else prediction | {"score": score}]}


def _result(name: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": TEXT, "type": kind, "value": dict(value)}


def interface_of(task: Task) -> str:
    """The labelling interface, to be pasted into the project's settings."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in task.label_names)
    return (
        f'<View>\n  <Text name="{TEXT}" value="${TEXT}"/>\n  <Text name="{VOTES}" value="${VOTES}"/>\n'
        f'  <Choices name="{LABEL}" toName="{TEXT}" choice="single" showInline="true">\n{choices}\n  </Choices>\n'
        f'  <TextArea name="{REASON}" toName="{TEXT}" editable="true" maxSubmissions="1"/>\n</View>\n'
    )


def is_export(items: list[Any]) -> bool:
    """Whether a JSON list is an export of tasks with their annotations."""
    return any(isinstance(item, dict) and "data" in item and "annotations" in item for item in items)


def is_flat_export(columns: Any) -> bool:
    """Whether a table is one of its other exports, whose ``id`` is Label Studio's own."""
    return {"annotation_id", "lead_time"} <= set(columns)


def answers_of(items: list[Any]) -> Iterator[Row]:
    """A row a person and task: id, label, status, reason, completed_by; the task's number in the file."""
    for number, item in enumerate(items, 1):
        try:
            newest = {_person(each): each for each in sorted(item["annotations"], key=_age)}
            record_id = _text(item["data"]["id"])
            rows = [_answer(number, record_id, person, each) for person, each in newest.items()]
        except (LookupError, TypeError, AttributeError):
            rows = [Row(number, {}, "is not a task with annotations and an id in its data")]
        yield from rows


def _age(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _person(annotation: Mapping[str, Any]) -> str:
    """The id of the account, or its address where the export has one."""
    person = annotation.get(PERSON)
    if isinstance(person, dict):
        person = person.get("email") or person.get("id")
    return "" if person is None else str(person)


def _answer(number: int, record_id: str, person: str, annotation: Mapping[str, Any]) -> Row:
    values = [(each["type"], each.get("from_name"), each["value"]) for each in annotation.get("result") or []]
    labels = [_texts(value["choices"]) for kind, _, value in values if kind == "choices"]
    reasons = [_texts(value["text"]) for kind, name, value in values if kind == "textarea" and name == REASON]
    chosen = [label for some in labels for label in some]
    cells = {
        "id": record_id,
        "label": chosen[0] if len(chosen) == 1 else "",
        "status": "discarded" if annotation.get("was_cancelled") else "",
        "reason": "\n".join(text for some in reasons for text in some),
        PERSON: person,
    }
    return Row(number, cells, f"has {len(chosen)} labels" if len(chosen) > 1 else "")


def _texts(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
