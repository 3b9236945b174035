"""Panels: a teacher with one prompt and its parameters, and its number of votes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.core.records import Voter
from tutelage.core.task import Task
from tutelage.core.teachers import Escalate, Prompt, Teacher
from tutelage.loaders.teacher.prompts import Template, load_template


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The voters 1 to ``votes`` of a teacher with one prompt.

    ``prompt`` is the prompt's name and the start of ``digest``: SHA-256 over the prompt as filled
    from the task, the model and the parameters. A change of any of these makes a new panel.
    """

    teacher: str
    prompt: str
    votes: int
    model: str
    digest: str
    parameters: dict[str, Any]
    template: Template = field(repr=False, compare=False)
    early_stop: bool = False
    escalate: Escalate | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Teacher and prompt, the key in the ledger."""
        return self.teacher, self.prompt

    def voter(self, number: int) -> Voter:
        """The panel's n-th voter, from 1."""
        return Voter(self.teacher, self.prompt, number)


def panels_of(task: Task, directory: Path, *, votes: int | None = None) -> tuple[Panel, ...]:
    """The task's panels, in its order; ``votes`` overrides the number of votes, except of greedy panels.

    Raises
    ------
    TeacherError
        When a prompt cannot be used.
    """
    asked = (teacher for teacher in task.teachers if teacher.model)
    return tuple(_panel(teacher, prompt, task, directory, votes) for teacher in asked for prompt in teacher.prompts)


def _panel(teacher: Teacher, prompt: Prompt, task: Task, directory: Path, votes: int | None) -> Panel:
    template = load_template(prompt, task, directory)
    parameters = _parameters(teacher, prompt)
    digest = _digest([template.source, template.filled, teacher.engine, teacher.model, parameters])
    greedy = parameters.get("temperature") == 0  # a second answer would be the same
    return Panel(
        teacher=teacher.name,
        prompt=f"{prompt.name}@{digest[:8]}",
        votes=(prompt.votes or teacher.votes) if votes is None or greedy else votes,
        model=teacher.model,
        digest=digest,
        parameters=parameters,
        template=template,
        early_stop=teacher.early_stop,
        escalate=teacher.escalate,
    )


def _parameters(teacher: Teacher, prompt: Prompt) -> dict[str, Any]:
    """The generation parameters, by their names in OpenAI's API."""
    wanted = {
        "temperature": teacher.temperature if prompt.temperature is None else prompt.temperature,
        "top_p": teacher.top_p,
        "max_tokens": prompt.max_tokens or teacher.max_tokens,
        "seed": teacher.seed,
        **teacher.extra_body,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _digest(parts: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps(list(parts), sort_keys=True, ensure_ascii=False).encode()).hexdigest()
