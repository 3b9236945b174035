"""The task file: what it takes, and what it says of what it does not take."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tutelage.core.errors import TaskError
from tutelage.core.task import load_task, parse_task
from tutelage.steps.new_task import init

GOOD = "name: news\nlabels: [good, bad]\n"


def problem_of(text: str) -> str:
    with pytest.raises(TaskError) as caught:
        parse_task(text)
    return str(caught.value)


def test_the_smallest_task_needs_a_name_and_two_labels() -> None:
    task = parse_task(GOOD)
    assert (task.name, task.label_names, task.dataset_name) == ("news", ("good", "bad"), "news")
    assert (task.argilla.workspace, task.argilla.min_submitted, task.queue) == ("tutelage", 1, 500)
    assert (task.holdout.share, task.student) == (0.0, "FacebookAI/roberta-base")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "colour: red\n", "task.yaml:3: colour: unknown key; remove it or use one of: argilla, costs, examples"),
        (GOOD + "argilla:\n  min_submited: 2\n", "task.yaml:4: argilla.min_submited: unknown key"),
        (GOOD + "argilla:\n  min_submited: 2\n", "use one of: dataset, min_submitted, workspace"),
        ("name: news\nlabels:\n  - name: a\n    defintion: x\n  - b\n", "task.yaml:4: labels.0.defintion: unknown key"),
        ("name: news\n", "task.yaml:1: labels: missing; add it"),
        ("labels: [a, b]\n", "task.yaml:1: name: missing; add it"),
        ("name: news\n\nlabels: [only]\n", "task.yaml:3: labels: needs at least 2 entries, has 1"),
        (GOOD + "\nqueue: 0\n", "task.yaml:4: queue: must be at least 1, not `0`"),
        (GOOD + "argilla:\n  dataset: '*'\n", "task.yaml:4: argilla.dataset: use letters, digits"),
        (GOOD + "argilla:\n  workspace: my space\n", "task.yaml:4: argilla.workspace: use letters"),
        (GOOD + "argilla:\n  min_submitted: 0\n", "task.yaml:4: argilla.min_submitted: must be at least 1, not `0`"),
        (GOOD + "holdout:\n  share: 1.0\n", "task.yaml:4: holdout.share: must be less than 1, not `1.0`"),
        (GOOD + "holdout:\n  share: 0.5\n  file: gold.csv\n", "task.yaml:3: holdout: give either a share or a file"),
        (GOOD + "examples:\n  - text: x\n    label: ugly\n", "task.yaml:3: examples: 'ugly' is not one of the labels"),
        (GOOD + "kind: tokens\n", "task.yaml:3: kind: must be 'classification', not `tokens`"),
        (
            "name: '*'\nlabels: [a, b]\n",
            "task.yaml:1: name: is not a valid name for an Argilla dataset; set argilla.dataset",
        ),
        ("name: " + "n" * 201 + "\nlabels: [a, b]\n", "task.yaml:1: name: is not a valid name"),
        (
            "name: news\nlabels:\n  - a\n  - " + "b" * 201 + "\n",
            "task.yaml:4: labels.1.name: is longer than 200 characters; shorten it",
        ),
        ("name: news\nlabels:\n  - a\n  - '  '\n", "task.yaml:4: labels.1.name: is blank; write a name"),
        ("name: news\nlabels:\n  - a\n  - ''\n", "task.yaml:4: labels.1.name: is empty; write a value"),
        ("name: news\nlabels:\n  - a\n  -\n", "task.yaml:4: labels.1.name: is empty; write a value"),
        ("name: news\nlabels: [a, [b]]\n", "task.yaml:2: labels.1.name: must be text, not a list or a mapping"),
        ("name: news\nlabels: a\n", "task.yaml:2: labels: must be a list, such as [a, b], not `a`"),
        (GOOD + "holdout: x\n", "task.yaml:3: holdout: must be a mapping of 'key: value' lines, not `x`"),
        (GOOD + "queue: many\n", "task.yaml:3: queue: must be an integer, not `many`"),
        (GOOD + "question: no\n", 'task.yaml:3: question: `no` is a YAML boolean; write "no"'),
        (GOOD + "teachers: [{name: t, license: 1}]\n", 'teachers.0.license: `1` is a YAML integer; write "1"'),
        (GOOD + "teachers: [{name: t, license: x, prompts: [a b]}]\n", "prompts.0.name: use letters, digits, '.', '_'"),
        (
            "name: news\nlabels: [a, b]\nquestion: " + "why " * 200 + "\n",
            "task.yaml:3: question: is longer than 500 characters; shorten it",
        ),
        (
            "name: news\nlabels: [" + ", ".join(f"l{i}" for i in range(501)) + "]\n",
            "task.yaml:2: labels: takes at most 500 entries, has 501",
        ),
        ("name: [news\nlabels: x\n", "invalid YAML"),
        ("name: news\nlabels:\n - a\n  - b: [\n", "invalid YAML"),
        ("just words\n", "task.yaml:1: expected 'key: value' lines"),
        ("", "task.yaml:1: expected 'key: value' lines"),
        ("name: a\nb: a\x07b\n", "task.yaml:2: invalid YAML: special characters are not allowed. Remove the"),
        (GOOD + "teachers: [{name: t, license: x, limits: {rpm: .inf}}]\n", "rpm: must be a finite number, not `.inf`"),
        (GOOD + "queue: '" + "9" * 80 + "x'\n", "queue: must be an integer, not `" + "9" * 60 + "...`"),
        (GOOD + "base: &b\n  share: 1\nholdout:\n  <<: *b\n  share: x\n", "task.yaml:7: holdout.share: must be"),
    ],
)
def test_an_error_names_the_line_the_key_and_the_fix(text: str, message: str) -> None:
    assert message in problem_of(text)


BOMB = "name: n\nlabels:\n  - &a0 [x, y]\n" + "".join(
    f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "task.yaml:8: invalid YAML: more than 100000 values, with those that aliases repeat; leave some out."),
        (GOOD + "a: &a [*a]\n", "task.yaml:3: invalid YAML: *a stands inside what it repeats; write it out."),
        (GOOD + "queue: " + "[" * 3000 + "]" * 3000, "task.yaml:3: invalid YAML: nested more than 50 levels deep"),
        (GOOD + "queue: [" + "x," * 100_000 + "]\n", "task.yaml:3: invalid YAML: more than 100000 values"),
        (GOOD + "question: 2026-02-30\n", "task.yaml:3: invalid YAML: `2026-02-30` is no timestamp; correct it, or"),
        (GOOD + "\nqueue: !!int foo\n", "task.yaml:4: invalid YAML: `foo` is no int; correct it, or quote it."),
        (GOOD + "queue: 0b_\n", "task.yaml:3: invalid YAML: `0b_` is no int"),
        (GOOD + "queue: " + "9" * 5000 + "\n", "task.yaml:3: invalid YAML: `" + "9" * 60 + "` is no int"),
        (GOOD + "queue: !!int ''\n", "task.yaml:3: invalid YAML: `` is no int"),
        (GOOD + "queue: !!bool maybe\n", "task.yaml:3: invalid YAML: `maybe` is no bool"),
        (GOOD + "queue: !!float x\n", "task.yaml:3: invalid YAML: `x` is no float"),
        (GOOD + "queue: !!timestamp x\n", "task.yaml:3: invalid YAML: `x` is no timestamp"),
        (GOOD + "2026-02-30: x\n", "task.yaml:3: invalid YAML: `2026-02-30` is no timestamp"),
        ('name: n\nlabels: [a, "\\U00110000"]\n', "task.yaml:2: invalid YAML: cannot be read: chr() arg not in range"),
        ('name: n\nlabels: [a, "\\ud800"]\n', "task.yaml:2: invalid YAML: an escape that stands for no character"),
        ('name: n\nlabels: [a, "\\0"]\n', "task.yaml:2: invalid YAML: an escape that stands for no character"),
        (f"%YAML 1.{'1' * 5000}\n---\n{GOOD}", "task.yaml:1: invalid YAML: cannot be read"),
        (GOOD + "queue: 5\nqueue: 6\n", "task.yaml:4: invalid YAML: key 'queue' is there twice, first on line 3; keep"),
        (GOOD + 'argilla:\n  dataset: a\n  "dataset": b\n', "task.yaml:5: invalid YAML: key 'dataset' is there twice"),
    ],
)
def test_yaml_beyond_the_limits_is_one_message_with_its_line(text: str, message: str) -> None:
    started = time.process_time()
    said = problem_of(text)
    assert said.startswith(message)
    assert "\n" not in said
    assert time.process_time() - started < 10


def test_an_alias_may_repeat_what_stands_before_it() -> None:
    teachers = "[{name: a, license: x, limits: &l {rpm: 5}}, {name: b, license: x, limits: {<<: *l, tpm: 9}}]"
    one, two = parse_task(f"{GOOD}teachers: {teachers}\n").teachers
    assert (one.limits.rpm, two.limits.rpm, two.limits.tpm) == (5, 5, 9)


def test_a_task_file_of_another_kind_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "task.yaml").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(TaskError, match=r"task\.yaml: has more than 1000000 bytes; shorten it"):
        load_task(tmp_path)


def test_every_mistake_is_said_at_once_each_on_a_line() -> None:
    said = problem_of("name: news\nlabels: [a, b]\nqueue: no\nfoo: 1\n").splitlines()
    assert len(said) == 2
    assert [line.split(":")[1] for line in said] == ["3", "4"]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("yes", "boolean"),
        ("no", "boolean"),
        ("on", "boolean"),
        ("true", "boolean"),
        ("3", "integer"),
        ("1.5", "float"),
        ("null", "null"),
        ("2024-01-31", "date"),
    ],
)
def test_what_yaml_does_not_read_as_text_is_no_label_until_it_is_quoted(written: str, kind: str) -> None:
    for text in (f"name: n\nlabels: [maybe, {written}]\n", f"name: n\nlabels:\n  - maybe\n  - name: {written}\n"):
        assert problem_of(text).endswith(f'label `{written}` is a YAML {kind}; write "{written}"')
    assert parse_task(f"name: n\nlabels: [maybe, '{written}']\n").label_names == ("maybe", written)


@pytest.mark.parametrize(
    "labels",
    [
        "[good, Good]",
        "[good, ' good ']",
        "[good, good]",
        "[good, {name: bad, aliases: [GOOD]}]",
        "[{name: good, aliases: [x]}, {name: bad, aliases: [X]}]",
        "[good, '\"good\"']",
        '["caf\\u00e9", "cafe\\u0301"]',
    ],
)
def test_labels_and_aliases_that_could_be_taken_for_each_other_are_refused(labels: str) -> None:
    assert "is used twice" in problem_of(f"name: n\nlabels: {labels}\n")


def test_an_alias_may_repeat_its_own_label() -> None:
    assert parse_task("name: n\nlabels: [{name: good, aliases: [Good, fine]}, bad]\n").read_label("FINE") == "good"


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("good", "good"),
        (" GOOD\n", "good"),
        ('"Good."', "good"),
        ("**good**", "good"),
        ("`fine`", "good"),
        ("very, very bad", "very, very bad"),
        ("Very, very Bad.", "very, very bad"),
        ("😀", "😀"),
        ("хорошо", "хорошо"),
        ("ХОРОШО", "хорошо"),
        ("cafe\u0301", "caf\u00e9"),
        ("...", "..."),
        ("good bad", None),
        ("", None),
        ("  ", None),
        ("'.'", None),
        ("goo", None),
    ],
)
def test_reading_a_label(said: str, label: str | None) -> None:
    task = parse_task(
        "name: n\nlabels: [{name: good, aliases: [fine]}, 'very, very bad', 😀, хорошо, \"caf\\u00e9\", '...']\n"
    )
    assert task.read_label(said) == label


def test_the_holdout_share_is_fixed_by_the_id() -> None:
    task = parse_task(GOOD + "holdout: {share: 0.3}\n")
    ids = [f"r{i}" for i in range(2000)]
    held = {i for i in ids if task.holds_out(i)}
    assert 0.27 < len(held) / len(ids) < 0.33
    again = parse_task(GOOD.replace("news", "other") + "queue: 9\nholdout: {share: 0.3}\n")
    assert {i for i in reversed(ids) if again.holds_out(i)} == held
    more = parse_task(GOOD + "holdout: {share: 0.4}\n")
    assert held < {i for i in ids if more.holds_out(i)}, "a larger share keeps what was held out before"
    # An id's draw may never change: what was held out would be trained on.
    assert [i for i in ids[:12] if task.holds_out(i)] == ["r3", "r5", "r11"]


def test_nothing_is_held_out_unless_asked() -> None:
    assert not any(parse_task(GOOD).holds_out(f"r{i}") for i in range(500))


def test_the_id_of_a_task_changes_with_what_labels_mean_and_with_nothing_else() -> None:
    task = parse_task(GOOD)
    same = [
        GOOD + "queue: 7\n",
        GOOD + "argilla: {dataset: other, min_submitted: 3}\n",
        "labels: [good, bad]\nname: news\n",
    ]
    other = [GOOD + "guidelines: be strict\n", "name: news\nlabels: [bad, good]\n", GOOD + "holdout: {share: 0.1}\n"]
    assert all(parse_task(text).id == task.id for text in same)
    assert all(parse_task(text).id != task.id for text in other)


@pytest.mark.parametrize(
    "labels", [["yes", "no"], ["a, b", 'say "hi"', "c: d", "# e"], ["😀", "да", "好", "- x"], ["'", "{", "1"]]
)
def test_init_writes_a_task_that_loads(tmp_path: Path, labels: list[str]) -> None:
    for path in init(tmp_path / "new", labels):
        assert path.exists()
    assert load_task(tmp_path / "new").label_names == tuple(labels)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"task.yaml", ".env.example", ".gitignore"}


@pytest.mark.parametrize(
    "words", ["A: b? # c", "Two\n\n- lists\n  - and\n\n    code", "'\"{}[]", "| >", "  indented\nfirst line"]
)
def test_init_writes_question_guidelines_and_holdout_as_given(tmp_path: Path, words: str) -> None:
    init(tmp_path / "new", ["a", "b"], question=words, guidelines=words, holdout=0.25)
    task = load_task(tmp_path / "new")
    assert (task.question, task.guidelines.strip(), task.holdout.share) == (words.strip(), words.strip(), 0.25)


def test_init_refuses_a_holdout_of_everything(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"holdout.share: must be less than 1, not `1.0`"):
        init(tmp_path / "new", ["a", "b"], holdout=1.0)
    assert not (tmp_path / "new").exists()


def test_init_names_a_student_that_the_installation_can_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "whole", ["a", "b"])
    assert load_task(tmp_path / "whole").student == "FacebookAI/roberta-base"
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    init(tmp_path / "core", ["a", "b"])
    assert load_task(tmp_path / "core").student == "linear"
    assert "FacebookAI/roberta-base is better and needs: pip install" in (tmp_path / "core/task.yaml").read_text()


def test_init_leaves_a_task_that_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(GOOD)
    with pytest.raises(TaskError, match="is there already"):
        init(tmp_path, ["x", "y"])
    assert (tmp_path / "task.yaml").read_text() == GOOD


def test_init_refuses_labels_that_cannot_serve_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="is used twice"):
        init(tmp_path / "new", ["same", "Same"])
    assert not (tmp_path / "new").exists()


def test_a_missing_task_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="tutelage init DIR --labels"):
        load_task(tmp_path)


def test_a_task_file_in_another_encoding_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_bytes("name: n\nlabels: [süß, salzig]\n".encode("cp1252"))
    with pytest.raises(TaskError, match="UTF-8"):
        load_task(tmp_path)
