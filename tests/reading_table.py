"""Answers as models write them, each with the label that a person reads in it, and a generator of denials.

``teacher_answers.jsonl`` holds the label sets in its first line and one answer in each other line. The rows that are
held back are of styles that the reader was not written for; they measure it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tutelage.core.task import Task

_FILE = Path(__file__).with_name("teacher_answers.jsonl")


@dataclass(frozen=True, kw_only=True)
class Row:
    """An answer; ``label`` None: it names none."""

    style: str
    held_back: bool
    labels: str
    label: str | None
    answer: str
    finish: str


@cache
def _lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]


def label_sets() -> dict[str, Sequence[Any]]:
    return dict(_lines()[0]["label_sets"])


@cache
def task_of(labels: str) -> Task:
    return Task.model_validate({"name": labels.replace("_", "-"), "labels": label_sets()[labels]})


def table() -> list[Row]:
    return [Row(**line) for line in _lines()[1:]]


_DENIALS = {
    "english": (
        "not {}", "It is not {}.", "It isn't {}", "This is by no means {}.", "far from {}", "anything but {}",
        "hardly {}", "never {}", "no longer {}", "I can't say that it is {}.", "not at all **{}**", "Label: not {}",
        "Label: anything but {}", "Answer: certainly not {}", "It would be {} if it were sincere.", "Not **{}**",
        "The text is not:\n\n{}", "Every label but\n{}", "I would avoid calling it\n**{}**", "non-{}", "un{}", "{}-free",
        "Label: non-{}", '{{"not": "{}"}}', '{{"label": "not {}"}}', '{{"excluded": "{}"}}', "<not>{}</not>", "{}?",
        "Label: {}? No.", "Label: {} is out of the question", "I cannot rule out {}", "No {} here", "less than {}",
    ),
    "german": (
        "nicht {}", "Das ist nicht {}.", "keineswegs {}", "alles andere als {}", "Antwort: nicht {}", "kaum {}",
        "Das ist nicht:\n{}", "Man kann nicht sagen, dass es {} ist.", "Es wäre {}, wenn es ernst gemeint wäre.",
    ),
    "french": (
        "pas {}", "Ce n'est pas {}.", "loin d'être {}", "Réponse : pas {}", "aucunement {}", "Ce n'est pas\n**{}**",
        "Ce serait {} si c'était sincère.",
    ),
    "spanish": ("no {}", "No es {}.", "nada {}", "Respuesta: no {}", "No es\n{}", "Sería {} si fuera sincero."),
    "italian": ("non {}", "Non è {}.", "tutt'altro che {}", "Risposta: non {}", "per niente **{}**"),
    "portuguese": ("não {}", "Não é {}.", "longe de {}", "Resposta: não {}"),
    "polish": ("nie {}", "To nie jest {}.", "bynajmniej nie {}", "Odpowiedź: nie {}"),
    "russian": ("не {}", "Это не {}.", "вовсе не {}", "Ответ: не {}", "Это не\n{}"),
    "turkish": ("{} değil", "Bu {} değil.", "Cevap: {} değil", "hiç {} değil"),
    "chinese": ("不是{}", "并非{}", "答案：不是{}", "这不是：\n{}", "绝不{}", "不能说是**{}**"),
    "japanese": ("{}ではない", "{}とは言えません。", "答え：{}ではない", "{}でない"),
    "korean": ("{}이 아니다", "{} 아님", "답변: {}이 아닙니다"),
    "arabic": ("ليس {}", "غير {}", "الإجابة: ليس {}"),
    "hindi": ("{} नहीं", "यह {} नहीं है।", "उत्तर: {} नहीं"),
}  # fmt: skip


def denials() -> Iterator[tuple[str, str, str]]:
    """Name of the label set, a label, and an answer that denies it, in many wordings of many languages."""
    for labels in label_sets():
        task = task_of(labels)
        for form in (form for forms in _DENIALS.values() for form in forms):
            yield from ((labels, name, form.format(name)) for name in task.label_names)
