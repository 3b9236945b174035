"""Prompts: Jinja templates filled from the task. A text is a value in them and is never evaluated."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.core.errors import TeacherError
from tutelage.core.task import Task
from tutelage.core.teachers import Prompt

_SHIPPED = "tutelage.loaders.teacher"
_FENCE = "text"
_ROLES = ("system", "user", "assistant")


class Filled(NamedTuple):
    """A prompt with a text: all of it, and its turns as pairs of role and content, where it has several."""

    prompt: str
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Template:
    """A compiled prompt; ``fill`` fills in a text.

    ``wants_json`` says that the prompt asks for an object with reason and label; ``source`` is the
    file's content; ``filled`` is the prompt filled from the task, with an empty text.
    """

    wants_json: bool
    source: str
    filled: str
    fill: Callable[[str], Filled]

    def render(self, text: str) -> str:
        """The prompt with this text, as one string."""
        return self.fill(text).prompt


def load_template(prompt: Prompt, task: Task, directory: Path) -> Template:
    """The prompt's template: the shipped one of that name, or its file in the task directory.

    Raises
    ------
    TeacherError
        When there is no such prompt, it cannot be rendered, or it does not use the text.
    """
    source, where = _source(prompt, directory)
    return _compile(source, where, _context(task))


def _source(prompt: Prompt, directory: Path) -> tuple[str, str]:
    if prompt.file:
        path = directory / prompt.file
        try:
            return path.read_text("utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise TeacherError(f"{path}: prompt {prompt.name!r} cannot be read: {error}") from None
    shipped = files(_SHIPPED) / "prompts"
    names = sorted(entry.name.removesuffix(".j2") for entry in shipped.iterdir() if entry.name.endswith(".j2"))
    if prompt.name not in names:
        raise TeacherError(
            f"prompt {prompt.name!r} is not a shipped prompt ({', '.join(names)}); set file: to its Jinja file"
        )
    return (shipped / f"{prompt.name}.j2").read_text("utf-8"), prompt.name


def _context(task: Task) -> dict[str, Any]:
    return {
        "question": task.question or f"Which label fits the text ({task.name})?",
        "labels": [{"name": label.name, "definition": label.definition.strip()} for label in task.labels],
        "guidelines": task.guidelines.strip(),
        "examples": [example.model_dump() for example in task.examples],
    }


def _compile(source: str, where: str, context: dict[str, Any]) -> Template:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    try:
        compiled = environment.from_string(source, globals=context)
        answer = str(getattr(compiled.make_module({"text": "", "fence": _FENCE, "turn": str}), "answer", "words"))
        template = Template(
            wants_json=answer == "json",
            source=source,
            filled=_fill(compiled, "").prompt,
            fill=lambda text: _fill(compiled, text),
        )
        _check(template, answer, where)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        raise TeacherError(f"{where}{f':{line}' if line else ''}: the prompt cannot be rendered: {error}") from None
    return template


def _fill(compiled: Any, text: str) -> Filled:
    """The prompt with this text; what begins a turn is drawn anew each time, so that no text can hold it."""
    from jinja2 import TemplateRuntimeError

    mark = secrets.token_hex(16)

    def turn(role: str) -> str:
        if role not in _ROLES:
            raise TemplateRuntimeError(f"turn({role!r}): a turn is of {', '.join(_ROLES)}")
        return f"{mark}{role}\n"

    rendered = str(compiled.render(text=text, fence=_fence(text), turn=turn))
    before, *parts = rendered.split(mark)
    if not parts:
        return Filled(rendered)
    turns = tuple((role, content.strip()) for role, _, content in (part.partition("\n") for part in parts))
    if before.strip() or turns[-1][0] != "user":
        raise TemplateRuntimeError("nothing may stand before the first turn, and the last one must be the user's")
    return Filled("\n\n".join(f"[{role}]\n{content}" for role, content in turns), turns)


def _check(template: Template, answer: str, where: str) -> None:
    probe = "{{ a text }} with {% braces %}"
    if probe not in template.render(probe):
        raise TeacherError(f"{where}: the prompt does not contain the text; add {{{{ text }}}}")
    if answer not in {"json", "words"}:
        raise TeacherError(f'{where}: sets answer to {answer!r}; it must be "json" or "words"')


def _fence(text: str) -> str:
    """A tag that does not occur in the text, so that the text cannot close it."""
    fence, number, folded = _FENCE, 0, text.casefold()
    while f"{fence}>" in folded:
        number += 1
        fence = f"{_FENCE}-{number}"
    return fence
