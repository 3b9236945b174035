"""The task file, ``task.yaml``: the question, its labels, the teachers, and where people answer.

There is one kind of task, single-label classification. What depends on that is ``Task.indices`` and
``Task.vote`` here and ``decide`` in ``tutelage/core/arrays.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from yaml.reader import ReaderError

from tutelage.core.errors import TaskError
from tutelage.core.formats.strict_yaml import SIZE_MAX, RefusedYamlError, read_yaml
from tutelage.core.records import Vote, Voter
from tutelage.core.teachers import Costs, NonEmpty, Strict, Teacher

if TYPE_CHECKING:
    from tutelage.core.arrays import Ints

FILE_NAME = "task.yaml"
DEFAULT_STUDENT = "FacebookAI/roberta-base"
WINDOWS = "windows"
"""The value of ``long_texts`` for texts that are read in windows."""

# What the Argilla server takes: names of datasets and workspaces, lengths of options and titles.
ARGILLA_NAME = re.compile(r"^(?!-|_)[\w\-_ ]{1,200}\Z")
LABEL_MAX_LENGTH = 200
LABELS_MAX = 500
QUESTION_MAX_LENGTH = 500


class Label(Strict):
    """One answer to the question. ``aliases`` are other spellings that count as this label."""

    name: Annotated[str, Field(min_length=1, max_length=LABEL_MAX_LENGTH, pattern=r"\S")]
    definition: str = ""
    aliases: tuple[NonEmpty, ...] = ()


class Example(Strict):
    """A solved case, for the guidelines and the prompts."""

    text: NonEmpty
    label: NonEmpty
    reason: str = ""


class ArgillaSettings(Strict):
    """Where people answer. ``min_submitted`` responses complete a record."""

    workspace: NonEmpty = "tutelage"
    dataset: str = ""
    min_submitted: Annotated[int, Field(ge=1)] = 1

    @field_validator("workspace")
    @classmethod
    def _fits_an_address(cls, value: str) -> str:
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", value):
            raise ValueError("use letters from a to z, digits, '-' and '_'")
        return value

    @field_validator("dataset")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value and not ARGILLA_NAME.match(value):
            raise ValueError("use letters, digits, spaces, '-' and '_', starting with a letter or digit")
        return value


class Holdout(Strict):
    """Rows that nothing trains on: those of a file, or a share fixed by the hash of the id."""

    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    file: str = ""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Holdout:
        if self.share and self.file:
            raise ValueError("give either a share or a file, not both")
        return self


class TextFile(Strict):
    """Where new texts come from: a file, a pattern such as ``incoming/*.csv``, or ``hf://owner/name``."""

    file: NonEmpty
    text: NonEmpty = "text"
    id: str = ""
    split: NonEmpty = "train"
    encoding: NonEmpty = "utf-8"


class Retraining(Strict):
    """When ``retrain`` trains a challenger, what makes it champion, what is kept, and who is told."""

    min_new: Annotated[int, Field(ge=1)] = 20
    margin: Annotated[float, Field(ge=0, le=1)] = 0.02
    new_texts: Literal["teacher", "student", "none"] = "none"
    budget: Annotated[float, Field(gt=0)] | None = None
    keep: Annotated[int, Field(ge=1)] | None = None
    notify: str = ""


class Task(Strict):
    """A question about texts, and everything needed to get it answered."""

    name: NonEmpty
    kind: Literal["classification"] = "classification"
    question: Annotated[str, Field(max_length=QUESTION_MAX_LENGTH)] = ""
    labels: Annotated[tuple[Label, ...], Field(min_length=2, max_length=LABELS_MAX)]
    guidelines: str = ""
    examples: tuple[Example, ...] = ()
    teachers: tuple[Teacher, ...] = ()
    argilla: ArgillaSettings = ArgillaSettings()
    queue: Annotated[int, Field(ge=1)] = 500
    student: NonEmpty = DEFAULT_STUDENT
    long_texts: Literal["cut", "windows"] = "cut"
    holdout: Holdout = Holdout()
    sources: tuple[TextFile, ...] = ()
    retrain: Retraining = Retraining()
    group_readable: bool = False
    costs: Costs = Costs()

    @field_validator("labels", mode="before")
    @classmethod
    def _plain_names(cls, value: Any) -> Any:
        """``- positive`` is short for ``- name: positive``."""
        if not isinstance(value, list):
            return value
        return [item if isinstance(item, dict) else {"name": item} for item in value]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Task:
        seen: dict[str, str] = {}
        for label in self.labels:
            for spelling in (label.name, *label.aliases):
                known = seen.setdefault(_folded(spelling), label.name)
                if known != label.name or (spelling == label.name and self.label_names.count(spelling) > 1):
                    raise ValueError(
                        f"labels: {spelling!r} is used twice; names and aliases must differ in more than case"
                    )
        for example in self.examples:
            if example.label not in self.label_names:
                raise ValueError(f"examples: {example.label!r} is not one of the labels {list(self.label_names)}")
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise ValueError(f"teachers: {max(names, key=names.count)!r} is used twice; give each teacher its own name")
        if not ARGILLA_NAME.match(self.dataset_name):
            raise ValueError("name: is not a valid name for an Argilla dataset; set argilla.dataset")
        return self

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The labels in the task's order: the columns of every ``pred_probs``."""
        return tuple(label.name for label in self.labels)

    @property
    def dataset_name(self) -> str:
        """Name of the dataset on Argilla."""
        return self.argilla.dataset or self.name

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {_folded(s): label.name for label in self.labels for s in (label.name, *label.aliases)}

    def read_label(self, answer: str) -> str | None:
        """The label that ``answer`` names, ignoring case and outer punctuation; None where it names none."""
        return self._spellings.get(_folded(answer))

    def vote(self, voter: Voter, answer: str, reason: str = "") -> Vote:
        """The vote that a voter's answer stands for: the label it names, else an abstention."""
        return Vote(voter=voter, raw=answer, label=self.read_label(answer), reason=reason)

    def indices(self, labels: Iterable[str | None]) -> Ints:
        """The index of each label in ``label_names``, shape (N,); -1 for None."""
        from tutelage.core.arrays import indices

        return indices(labels, self.label_names)

    @cached_property
    def id(self) -> str:
        """SHA-256 over the fields that define the labels: part of every snapshot's id."""
        meaning = self.model_dump(mode="json", include={"name", "kind", "question", "labels", "guidelines", "holdout"})
        return hashlib.sha256(json.dumps(meaning, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def holds_out(self, record_id: str) -> bool:
        """Whether the hash of the id places this record in the holdout share."""
        draw = int.from_bytes(hashlib.sha256(f"holdout {record_id}".encode()).digest()[:8], "big")
        return draw < self.holdout.share * 2**64


def _folded(answer: str) -> str:
    """The answer without case, Unicode form, outer space, quotes and full stops, in which spellings may differ."""
    answer = unicodedata.normalize("NFC", answer).strip()
    return answer.strip("\"'`*.").strip().casefold() or answer.casefold()


def load_task(directory: Path) -> Task:
    """Read and check ``task.yaml`` in ``directory``.

    Raises
    ------
    TaskError
        With one line for each problem: file and line, the key, and the fix.
    """
    path = directory / FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_MAX + 1)
        if len(content) > SIZE_MAX:
            raise TaskError(f"{path}: has more than {SIZE_MAX} bytes; shorten it, or is it another file?")
        return parse_task(content.decode("utf-8"), str(path))
    except FileNotFoundError:
        raise TaskError(
            f"{path}: no such file. Change to a task directory, name one with --task DIR, "
            "or create one: tutelage init DIR --labels a,b"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read: {error}. Save it as a UTF-8 text file.") from None


def line_of(directory: Path, key: str) -> int:
    """The line, from 1, of a key of the task file; 1 where it has none."""
    _, root = read_yaml((directory / FILE_NAME).read_text("utf-8"))
    return _locate(root, [key])[0]


def parse_task(text: str, where: str = FILE_NAME) -> Task:
    """The task that a YAML text describes; ``where`` names the text in errors."""
    try:
        data, root = read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        advice = "" if isinstance(error, RefusedYamlError) else " Check indentation and quotes there."
        raise TaskError(f"{where}:{mark.line + 1 if mark else 1}: invalid YAML: {error.problem}.{advice}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TaskError(
            f"{where}:{line}: invalid YAML: {error.reason}. Remove the invisible character there."
        ) from None
    if not isinstance(data, dict):
        raise TaskError(f"{where}:1: expected 'key: value' lines such as 'name: my-task'")
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        problems = [_explain(problem, root, where) for problem in error.errors() if not _follows(problem, error)]
        raise TaskError("\n".join(problems)) from None


def _follows(problem: Any, error: ValidationError) -> bool:
    """Whether a list is 'too short' only because an item in it is wrong."""
    depth = len(problem["loc"])
    inner = (other["loc"] for other in error.errors())
    return problem["type"] == "too_short" and any(len(loc) > depth and loc[:depth] == problem["loc"] for loc in inner)


def _explain(problem: Any, root: yaml.Node | None, where: str) -> str:
    path = [part for part in problem["loc"] if not str(part).startswith("function-")]
    message = problem["msg"].removeprefix("Value error, ")
    if not path and ": " in message:  # a check over the whole task names its key itself
        head, message = message.split(": ", 1)
        path = [head]
    key = ".".join(map(str, path)) or "task"
    line, node = _locate(root, path)
    return f"{where}:{line}: {key}: {_fix(problem, message, path, node)}"


_FIXES = {
    "missing": "missing; add it",
    "string_too_short": "is empty; write a value",
    "string_too_long": "is longer than {max_length} characters; shorten it",
    "string_pattern_mismatch": "is blank; write a name",
    "too_short": "needs at least {min_length} entries, has {actual_length}",
    "too_long": "takes at most {max_length} entries, has {actual_length}",
}
_EXPECTED = {
    "tuple_type": "a list, such as [a, b]",
    "model_type": "a mapping of 'key: value' lines",
    "dict_type": "a mapping of 'key: value' lines",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "date_type": "a date such as 2026-01-31",
    "date_from_datetime_parsing": "a date such as 2026-01-31",
    "literal_error": "{expected}",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}
"""What pydantic's types of error say in the task file, with the numbers of their context."""


def _fix(problem: Any, message: str, path: list[Any], node: yaml.Node | None) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; remove it or use one of: {', '.join(sorted(_keys_at(path)))}"
    if kind == "string_type":
        return _quoting(path, node)
    if kind in _FIXES:
        return _FIXES[kind].format(**context)
    if kind in _EXPECTED:
        actual = f", not `{_shown(node)}`" if isinstance(node, yaml.ScalarNode) and node.value else ""
        return f"must be {_EXPECTED[kind].format(**context)}{actual}"
    return message  # of one of our validators, which names its own fix


_SHOWN = 60
_YAML_TYPES = {"bool": "boolean", "int": "integer", "float": "float", "null": "null", "timestamp": "date"}


def _quoting(path: list[Any], node: yaml.Node | None) -> str:
    """The fix for a value that YAML parses as something else than text, such as ``yes``."""
    if not isinstance(node, yaml.ScalarNode):
        return "must be text, not a list or a mapping"
    if not node.value:
        return "is empty; write a value"
    what = "label " if path[0] in {"labels", "examples"} and path[-1] in {"name", "label"} else ""
    kind = _YAML_TYPES.get(node.tag.rpartition(":")[2], "value of another type")
    return f'{what}`{_shown(node)}` is a YAML {kind}; write "{_shown(node)}"'


def _shown(node: yaml.ScalarNode) -> str:
    return node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}..."


def _keys_at(path: list[Any]) -> set[str]:
    """The keys that the model around an unknown key would take."""
    model: type[BaseModel] = Task
    for part in path[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return set(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as ``tuple[Label, ...]`` or ``Escalate | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def _locate(node: yaml.Node | None, path: list[Any]) -> tuple[int, yaml.Node | None]:
    """The line, from 1, of the deepest part of ``path`` in the YAML text, and the value there."""
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            matches = [(key, value) for key, value in node.value if key.value == str(part)]
            if not matches:
                return line, None
            key, node = matches[-1]  # those before it were merged, and it replaces them
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line, node
