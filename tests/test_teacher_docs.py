from __future__ import annotations

import re
from pathlib import Path

import pytest

from tutelage.core.task import parse_task
from tutelage.core.teachers import Escalate, LocalSettings, Price, Prompt, RateLimits, Teacher
from tutelage.loaders.teacher.panel import panels_of

DOCS = Path(__file__).resolve().parent.parent / "docs" / "teacher.md"
BLOCKS = re.findall(r"```yaml\n(teachers:.*?)```", DOCS.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_teacher_in_the_docs_can_be_asked(block: str) -> None:
    task = parse_task(f"name: docs\nlabels: [a, b]\n{block}")
    assert len(panels_of(task, DOCS.parent)) == len(task.teachers) == 1


def test_every_key_is_in_the_docs() -> None:
    words = set(re.findall(r"\w+", DOCS.read_text("utf-8")))
    keys = {
        key for model in (Teacher, Prompt, RateLimits, Price, Escalate, LocalSettings) for key in model.model_fields
    }
    assert len(BLOCKS) == 3
    assert keys <= words
