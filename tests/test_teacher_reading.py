from __future__ import annotations

import pytest

from tutelage.core.task import Task, parse_task
from tutelage.loaders.teacher.parsing import parse_answer

TASK = parse_task("name: x\nlabels: [good, bad, 'so, so', {name: no opinion, aliases: [neutral, 'n/a']}, very bad]\n")


def read(raw: str, task: Task = TASK) -> tuple[str | None, str]:
    reading = parse_answer(raw, task)
    return task.read_label(reading.label_text), reading.reason


@pytest.mark.parametrize(
    ("raw", "label", "reason"),
    [
        ("good", "good", ""),
        (" **Good**. ", "good", ""),
        ('"so, so"', "so, so", ""),
        ("N/A", "no opinion", ""),
        ('{"reason": "glad", "label": "good"}', "good", "glad"),
        ('{"label": "BAD", "reason": "cross {really}"}', "bad", "cross {really}"),
        ('Sure:\n```json\n{"reason": "a } in it", "label": "good"}\n```\nAnything else?', "good", "a } in it"),
        ('{"reason": "two\nlines", "label": "good"}', "good", "two\nlines"),
        ('{"reason": "glad", "label": ["good"]}', "good", "glad"),
        ('{"Reasoning": "glad", "sentiment": "good"}', "good", "glad"),
        ("{'reason': 'it\\'s fine', 'label': 'good',}", "good", "it's fine"),
        ("Here: {'label': 'bad'} as asked", "bad", ""),
        ('{"reason": "says "wow" twice", "label": "good"}', "good", 'says "wow" twice'),
        ("Label: good", "good", ""),
        ("Reason: glad\n**Label:** `so, so`.", "so, so", "glad"),
        ("The final answer is: very bad", "very bad", ""),
        ("Label: neutral\n\nNothing is said about it.", "no opinion", ""),
        ("I would classify this as good.", "good", ""),
        ("It is long.\nMuch is said.\n\nvery bad!", "very bad", ""),
        ('<think>good? bad? {"label": "bad"}</think>\n{"label": "good"}', "good", ""),
        ('{"label": "good"} and again {"label": "Good"}', "good", ""),
    ],
)
def test_every_rung_reads_the_label_and_its_reason(raw: str, label: str, reason: str) -> None:
    assert read(raw) == (label, reason)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        '{"reason": "cut off here", "label": "good"',
        "Label: neutral, because nothing is said",
        "I would say this is good.",
        "It is long.\nMuch is said.\n\nIt is very bad!",
        "Sorry, I cannot help.",
        '{"reason": "hm", "label": "slightly good"}',
        '{"reason": "hm", "label": ["good", "bad"]}',
        '{"reason": "hm", "label": null}',
        '{"label": "good"} {"label": "bad"}',
        '{"a": "good", "b": "bad"}',
        "good or bad",
        "Label: good or bad",
        "Label: good\nLabel: bad",
        "Not good.",
        "It isn't very bad",
        "neither good nor bad",
        "Label: not good",
        "goodness",
        "The good seats were taken, the bad ones too, and so nobody in the house could see anything of it at all.",
        "{" * 5000 + "}",
    ],
)
def test_what_names_no_label_or_two_is_an_abstention(raw: str) -> None:
    assert read(raw)[0] is None


def test_an_abstention_keeps_what_was_said() -> None:
    assert parse_answer("good or bad", TASK).label_text == "good or bad"
    assert parse_answer('{"reason": "hm", "label": "slightly good"}', TASK).label_text == "slightly good"


def test_an_alias_added_later_turns_an_abstention_into_a_vote() -> None:
    said = parse_answer('{"reason": "hm", "label": "slightly good"}', TASK).label_text
    wiser = parse_task("name: x\nlabels: [{name: good, aliases: [slightly good]}, bad]\n")
    assert (TASK.read_label(said), wiser.read_label(said)) == (None, "good")


def test_braces_without_end_are_read_in_no_time() -> None:
    import time

    began = time.process_time()
    read("{'a': " * 20_000 + "}" * 20_000)
    assert time.process_time() - began < 2
