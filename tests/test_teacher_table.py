"""The reader against a table of answers as models write them, a generator of denials, and answers that are endless."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest
from reading_table import Row, denials, table, task_of

from tutelage.loaders.teacher.parsing import parse_answer


def read(row: Row) -> str | None:
    task = task_of(row.labels)
    return task.read_label(parse_answer(row.answer, task, finish=row.finish).label_text)


def test_the_table_is_as_large_and_varied_as_it_is_said_to_be() -> None:
    rows = table()
    by_part: dict[bool, set[str]] = defaultdict(set)
    for row in rows:
        by_part[row.held_back].add(row.style)
        assert row.label is None or row.label in task_of(row.labels).label_names
    assert len(rows) >= 300
    assert sum(row.held_back for row in rows) >= 100
    assert not by_part[True] & by_part[False]
    assert len({row.labels for row in rows}) >= 15


@pytest.mark.parametrize("style", sorted({row.style for row in table()}))
def test_answers_are_read_as_a_person_reads_them(style: str) -> None:
    rows = [row for row in table() if row.style == style]
    wrong = [(row.labels, row.answer, row.label, got) for row in rows if (got := read(row)) not in {None, row.label}]
    missed = [(row.labels, row.answer, row.label) for row in rows if row.label is not None and read(row) is None]
    assert wrong == []
    assert len(missed) <= 0.03 * len(rows), missed


def test_no_denial_of_a_label_is_a_vote_for_it() -> None:
    cases = list(denials())
    assert len(cases) > 4000
    for labels, denied, answer in cases:
        task = task_of(labels)
        assert task.read_label(parse_answer(answer, task).label_text) != denied, (labels, answer)


_MEGA = 1_000_000
_ENDLESS = {
    "commas": "," * 40_000,
    "label and commas": "Label: " + "," * 40_000,
    "a megabyte of commas": "," * _MEGA,
    "words": "positive " * (_MEGA // 9),
    "lines": "positive\n" * (_MEGA // 9),
    "empty lines": "\n" * _MEGA,
    "blanks": " " * _MEGA + "x",
    "braces": "{" * _MEGA,
    "open and closed braces": "{'a': " * (_MEGA // 12) + "}" * (_MEGA // 2),
    "nested objects": '{"label":' * (_MEGA // 9),
    "brackets": "[" * _MEGA,
    "nested brackets": "[" * (_MEGA // 2) + "]" * (_MEGA // 2),
    "angles": "<" * _MEGA,
    "open tags": "<think>" * (_MEGA // 7),
    "closed tags": "<think></think>" * (_MEGA // 15),
    "labels in tags": "<label>positive</label>" * (_MEGA // 23),
    "an unclosed tag": "<think>" + "positive " * (_MEGA // 9),
    "channels": "<|channel|>" * (_MEGA // 11),
    "stars": "*" * _MEGA,
    "bold": "**positive** " * (_MEGA // 13),
    "quotes": '"' * _MEGA,
    "a broken string": '{"label": "' + "a" * _MEGA,
    "backslashes": "\\" * _MEGA,
    "boxes": "\\boxed{" * (_MEGA // 7),
    "fences": "```" * (_MEGA // 3),
    "fences on lines": "```json\n" * (_MEGA // 8),
    "colons": "label:" * (_MEGA // 6),
    "markers": "Label: positive\n" * (_MEGA // 16),
    "objects": '{"label": "positive"}\n' * (_MEGA // 22),
    "broken objects": '{"label": positive}\n' * (_MEGA // 20),
    "spaces after a marker": "Label:" + " " * _MEGA + "positive",
    "one word": "a" * _MEGA,
    "combining marks": "e\u0301" * (_MEGA // 2),
    "surrogates": "\ud800" * _MEGA,
    "hanzi": "正面" * (_MEGA // 2),
    "a long reason": '{"reason": "' + "so it is, " * (_MEGA // 10) + '", "label": "positive"}',
}


@pytest.mark.parametrize("name", _ENDLESS)
def test_a_megabyte_is_read_in_less_than_50_ms(name: str) -> None:
    whole, task = _ENDLESS[name], task_of("sentiment")
    for answer in (whole, whole[:25_000] + whole[-25_000:]):
        took = []
        for _ in range(3):
            began = time.thread_time()
            parse_answer(answer, task)
            took.append(time.thread_time() - began)
        assert min(took) < 0.05, len(answer)


def test_long_thoughts_and_a_long_reason_hide_no_label() -> None:
    task, thoughts = task_of("sentiment"), "Is it positive? Or not? " * 20_000
    long_reason = _ENDLESS["a long reason"]
    assert parse_answer(f"<think>{thoughts}</think>\nnegative", task).label_text == "negative"
    assert parse_answer(long_reason, task).label_text == "positive"
