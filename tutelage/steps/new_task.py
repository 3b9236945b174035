"""What ``tutelage init`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import yaml

from tutelage.core.errors import TaskError
from tutelage.core.files import write_text
from tutelage.core.task import ARGILLA_NAME, DEFAULT_STUDENT, FILE_NAME, line_of, parse_task
from tutelage.core.workspace import Workspace

_QUESTION = "Which label fits the text?"
_GUIDELINES = """\
Say here in a few sentences what the labels are for and how to decide the hard cases.
Teachers and annotators read the same words.
"""

_TASK = """\
# A tutelage task. docs/task.md of tutelage explains every key.
name: {name}
question: {question}

labels:
{labels}
guidelines: |
{guidelines}

# Solved cases, shown to annotators and to the teacher.
examples: []

# Who votes, and the licence of its output, which says what the labels may be used for.
teachers: []
#  - name: gpt-oss
#    license: apache-2.0
#    model: openai/gpt-oss-120b    # behind the Hugging Face router; or name a base_url
#    votes: 3

argilla:
  workspace: tutelage
  min_submitted: 1    # answers that complete a record

queue: 500            # so many records are in the queue, the most suspect first
student: {student}
long_texts: cut       # of a text longer than the student takes, the beginning; "windows" reads all of it

holdout:
  share: {holdout:<12} # of the records, kept out of review, ranking and training
"""

_ENV = """\
# Copy to .env and fill in. Without these, tutelage uses the embedded Argilla (tutelage up).
# ARGILLA_API_URL=https://argilla.example.org
# ARGILLA_API_KEY=
"""

_GITIGNORE = """\
.env
.out_of_sample/
task.db*
gold.parquet
pred_probs.parquet
rejects.jsonl
history.jsonl
*.lock
snapshots/
students/
reports/
"""


def init(
    directory: Path, labels: Sequence[str], *, question: str = "", guidelines: str = "", holdout: float = 0.0
) -> list[Path]:
    """Make a task directory; returns the files that were written.

    Raises
    ------
    TaskError
        When there is a task already, or the labels or the share of the holdout cannot serve.
    """
    if (directory / FILE_NAME).exists():
        raise TaskError(f"{directory / FILE_NAME}: is there already; edit it, or name another directory")
    text = _TASK.format(
        name=_quoted(_name_for(directory)),
        question=_quoted(question.strip() or _QUESTION),
        labels="".join(map(_label_item, labels)),
        guidelines=indent(guidelines.strip() or _GUIDELINES.strip(), "  "),
        student=_student(),
        holdout=holdout,
    )
    parse_task(text, FILE_NAME)
    files = {FILE_NAME: text, ".env.example": _ENV, ".gitignore": _GITIGNORE}
    for name, content in files.items():
        write_text(directory / name, content, public=True)
    return [directory / name for name in files]


def _student() -> str:
    """The default student where the installation can train it, else the one that needs no torch."""
    if all(map(find_spec, ("torch", "transformers"))):
        return DEFAULT_STUDENT
    return f"linear       # trains in seconds; {DEFAULT_STUDENT} is better and needs: pip install 'tutelage[train]'"


def check_written(workspace: Workspace) -> None:
    """Refuse a task whose question or guidelines are still the words that ``init`` wrote.

    Raises
    ------
    TaskError
        With the lines to edit.
    """
    task, problems = workspace.task, []
    if _same(task.question, _QUESTION):
        line = line_of(workspace.root, "question")
        problems.append(f"{FILE_NAME} line {line}: question is still the one that init wrote; ask there what to decide")
    if _same(task.guidelines, _GUIDELINES):
        line = line_of(workspace.root, "guidelines")
        problems.append(
            f"{FILE_NAME} line {line}: guidelines are still the ones that init wrote; say there how to decide the hard "
            "cases"
        )
    if problems:
        raise TaskError("\n".join(problems) + "\nAnnotators would read these words; edit them, or push --anyway")


def _same(words: str, others: str) -> bool:
    return words.split() == others.split()


def _name_for(directory: Path) -> str:
    name = directory.resolve().name
    return name if ARGILLA_NAME.match(name) else "task"


def _label_item(label: str) -> str:
    return f'  - name: {_quoted(label)}\n    definition: ""\n'


def _quoted(value: str) -> str:
    """The value as one YAML scalar, in quotes where it needs them."""
    return str(yaml.safe_dump(value, allow_unicode=True, width=10**6)).removesuffix("\n").removesuffix("\n...")
