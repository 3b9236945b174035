"""The report: its figures against the task's own, the page at every stage of a task, and the page in a browser."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from itertools import islice, pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from browser import screenshot
from click.testing import CliRunner
from conftest import ROOT
from filed import Filed
from scipy.stats import binomtest
from training_data import fill, records, sentences, small_task

from tutelage.commands.cli import cli
from tutelage.core.errors import TaskError
from tutelage.core.records import Proposal, Record, Response, Vote, Voter
from tutelage.core.task import parse_task
from tutelage.core.teachers import Costs
from tutelage.core.workspace import Workspace
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.scripted_annotator import ScriptedAnnotator
from tutelage.feedback.curate import curate
from tutelage.feedback.server.lifecycle import Server
from tutelage.loaders.gold import read_gold
from tutelage.loaders.holdout import LOCK
from tutelage.loaders.ledger import Ledger
from tutelage.loaders.teacher.teacher_ledger import Spent
from tutelage.project import Project
from tutelage.report.figures.blog_table import SENTENCES, Span, exactly, laurers_table
from tutelage.report.figures.collect import Report, collect_report
from tutelage.report.figures.economy import Throughput, break_even, economy
from tutelage.report.figures.label_accuracy import label_accuracy
from tutelage.report.figures.rates import rates_on
from tutelage.report.figures.shares import share_of
from tutelage.report.page import render_page
from tutelage.report.wording import amount, visible
from tutelage.steps.review.loop import Loop
from tutelage.training.measures.drift import prediction_drift
from tutelage.views.history import HISTORY

LABELS = ("positive", "neutral", "negative")
ANSWERS, WRONG = 70, 7
"""Reviewed records; every tenth answer is not gold's."""
ON = date(2026, 11, 1)


@dataclass(frozen=True)
class Reviewed:
    """A task after a review on the real Argilla, and what is known of it: suggested and given labels, in order."""

    workspace: Workspace
    pairs: list[tuple[str | None, str]]
    ids: list[str]

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Those for which a suggestion was shown."""
        return [(one, other) for one, other in self.pairs if one is not None]


def sample(root: Path, count: int) -> Workspace:
    """The first sentences of the sample, with votes and gold, a third of them held out."""
    root.mkdir()
    labels = [{"name": name, "definition": f"what is {name}"} for name in LABELS]
    task = {"name": f"report-{root.parent.name}", "question": "Good news?", "labels": labels, "student": "linear"}
    (root / "task.yaml").write_text(
        yaml.safe_dump({**task, "guidelines": "**Read**\nit.", "holdout": {"share": 0.33}}), "utf-8"
    )
    with (ROOT / "tutelage" / "sample" / "sample.csv").open(encoding="utf-8", newline="") as whole:
        rows = list(islice(csv.DictReader(whole), count))
    with (root / "rows.csv").open("w", encoding="utf-8", newline="") as part:
        writer = csv.DictWriter(part, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    votes = [f"vote_{n}:reason_{n}" for n in range(1, 5)]
    Project(root).import_votes(root / "rows.csv", id="id", gold="gold", votes=votes, teacher="sampler")
    return Workspace(root)


@pytest.fixture(scope="module")
def reviewed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    """Pushed, ranked, reviewed worst first, pulled; two students, the second one champion."""
    workspace = sample(tmp_path_factory.mktemp("report") / "task", 330)
    with Ledger(workspace.db) as ledger, ArgillaClient(server.url, server.api_key) as argilla:
        loop = Loop(workspace, ledger, argilla)
        loop.push()
        loop.rank()
        loop.pull()
        Project(workspace.root).train("linear")
        argilla.add_annotator(workspace.task, server.annotator)
        pairs, ids = review(workspace, server, loop)
        loop.pull()
    project = Project(workspace.root)
    project.promote(project.train("linear").id)
    return Reviewed(workspace, pairs, ids)


def review(workspace: Workspace, server: Server, loop: Loop) -> tuple[list[tuple[str | None, str]], list[str]]:
    gold, shown = read_gold(workspace.gold), loop.ledger.shown(loop.dataset().id)
    pairs, ids = list[tuple[str | None, str]](), list[str]()
    with ArgillaClient(server.url, server.annotator_api_key) as signed_in:
        annotator = ScriptedAnnotator(signed_in.remote, loop.dataset())
        for number, record in enumerate(annotator.queue(ANSWERS)):
            name = record["external_id"]
            label = gold[name] if number % 10 else next(one for one in LABELS if one != gold[name])
            annotator.submit(record, label)
            pairs.append((shown[name][-1].label, label))
            ids.append(name)
    return pairs, ids


@pytest.fixture(scope="module")
def figures(reviewed: Reviewed) -> Report:
    return collect_report(reviewed.workspace)


@pytest.fixture(scope="module")
def html(figures: Report) -> str:
    return render_page(figures)


def is_wilson(hits: int, rows: int, interval: tuple[float, float]) -> bool:
    other = binomtest(hits, rows).proportion_ci(method="wilson")
    return interval == pytest.approx((other.low, other.high))


# Figures


def test_what_people_did_is_counted_as_they_did_it(reviewed: Reviewed, figures: Report) -> None:
    found, seen = figures.review, reviewed.seen
    assert (found.answers, found.reviewed, found.without_suggestion) == (ANSWERS, ANSWERS, ANSWERS - len(seen))
    changed = [pair for pair in seen if pair[0] != pair[1]]
    assert found.changed
    assert (found.changed.hits, found.changed.rows) == (len(changed), len(seen))
    assert 0 < len(changed) < len(seen)
    assert is_wilson(len(changed), len(seen), found.changed.interval)
    assert {(one.suggested, one.label): one.records for one in found.changes} == {
        pair: changed.count(pair) for pair in changed
    }
    assert [one.records for one in found.changes] == sorted((one.records for one in found.changes), reverse=True)


def test_the_review_curve_is_in_the_order_of_the_answers(reviewed: Reviewed, figures: Report) -> None:
    first, *others = figures.review.steps
    assert (first.first, first.last, first.changed.rows) == (1, 50, 50)
    assert first.changed.hits == sum(one != other for one, other in reviewed.seen[:50])
    assert [step.last for step in others] == [len(reviewed.seen)]
    assert all(one.last + 1 == other.first for one, other in pairwise(figures.review.steps))


def test_labels_before_and_after_the_review_against_gold(reviewed: Reviewed, figures: Report) -> None:
    gold, held = read_gold(reviewed.workspace.gold), figures.asked.held_out
    frame = Project(reviewed.workspace.root).curated()
    found = figures.quality.on_gold
    assert found
    right = (frame["label"] == frame["id"].map(gold))[frame["label"].notna()]
    assert (found.after.hits, found.after.rows) == (right.sum(), len(right))
    assert found.before.hits == (frame["suggestion"] == frame["id"].map(gold))[frame["label"].notna()].sum()
    assert found.after.hits - found.before.hits == found.comparison.only_first - found.comparison.only_second > 0
    assert figures.quality.on_holdout
    assert figures.quality.on_holdout.rows == held


@pytest.mark.parametrize(("wrong", "after"), [(6, 0.9), (1, None)])
def test_all_labels_after_the_review_are_estimated_where_holdout_and_changes_fit(
    wrong: int, after: float | None
) -> None:
    """Of 40 labels people change 2; of 40 in the holdout so many are wrong."""
    task = parse_task("name: t\nlabels: [a, b]\n")
    held = [Record(f"h{n}", f"x{n}", given="b" if n < wrong else "a") for n in range(40)]
    items = curate([Record(f"r{n}", f"y{n}", given="a") for n in range(40)], {}, {})
    items = [replace(one, status="reviewed", label="b") if n < 2 else one for n, one in enumerate(items)]
    found = label_accuracy(task, items, {}, held, dict.fromkeys((one.id for one in held), "a"))
    assert found.on_holdout
    assert found.on_holdout.hits == 40 - wrong
    assert found.after == (after and pytest.approx(after))
    assert (found.after_interval is None) == (after is None)
    if found.after_interval:
        moved = [each - 0.05 for each in found.after_interval]
        assert is_wilson(40 - wrong, 40, (moved[0], moved[1]))


def test_what_a_student_suggests_is_no_label_before_the_review() -> None:
    """Its suggestions would count only where people answered them, and flatter the review."""
    task = parse_task("name: x\nlabels: [a, b]\n")
    voted = [Record(f"v{n}", f"text {n}", None, (Vote(voter=Voter("t", "p"), raw="a", label="a"),)) for n in range(4)]
    proposed = [Record(f"p{n}", f"other text {n}", proposal=Proposal("linear-1", "a")) for n in range(4)]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    people = {"user_id": "1", "annotator": "ann", "status": "submitted", "label": "b", "reason": "", "updated_at": at}
    answers = {f"p{n}": [Response(record_id=f"p{n}", **people)] for n in range(2)}
    gold = {record.id: "b" for record in (*voted, *proposed)}
    found = label_accuracy(task, curate([*voted, *proposed], answers, {}), gold, [], {})
    assert found.on_gold
    assert (found.on_gold.before.rows, found.on_gold.after.value, found.corrected) == (4, 0.0, share_of(0, 4))


def test_each_teacher_stands_against_people(figures: Report) -> None:
    (teacher,) = figures.review.teachers
    assert teacher.teacher == "sampler"
    assert teacher.right
    assert teacher.right.rows + teacher.abstained == ANSWERS
    assert teacher.right.rows - teacher.right.hits == sum(one.records for one in teacher.changes)
    assert is_wilson(teacher.right.hits, teacher.right.rows, teacher.right.interval)


def test_the_champion_is_measured_as_evaluate_measures_it(reviewed: Reviewed, figures: Report) -> None:
    assert figures.student
    assert figures.student.is_champion
    measured = Project(reviewed.workspace.root).evaluate().evaluation
    assert replace(figures.student.evaluation, at=measured.at) == measured  # type: ignore[type-var]
    assert [one.id for one in figures.student.curve] != []
    assert {one.id for one in figures.student.curve} == set(Project(reviewed.workspace.root).students()["id"])


def test_the_lineage_leads_from_the_task_to_the_champion(reviewed: Reviewed, figures: Report) -> None:
    kinds = [step.kind for step in figures.lineage]
    assert kinds == ["Task", "Imported votes", "Snapshot", "Student", "Measured on", "Champion"]
    assert reviewed.workspace.task.id.startswith(figures.lineage[0].hash)
    students = Project(reviewed.workspace.root).students().set_index("id")
    assert figures.student
    assert figures.lineage[2].name == students.loc[figures.student.id, "snapshot"]


def test_prompts_that_were_asked_are_in_the_lineage_with_their_hash(tmp_path: Path) -> None:
    from tutelage.loaders.teacher.panel import panels_of
    from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

    workspace = small_task(
        tmp_path / "task",
        60,
        teachers=[{"name": "asked", "license": "none", "model": "big", "prompts": ["plain"], "votes": 1}],
    )
    panels = panels_of(workspace.task, workspace.root)
    with TeacherLedger(workspace.db) as ledger:
        ledger.set_panels(panels)
    step = next(step for step in collect_report(workspace).lineage if step.kind == "Prompt")
    assert panels[0].digest.startswith(step.hash)
    assert step.text == panels[0].template.filled
    assert step.facts == ("model big",)


# Money, time and carbon


def test_the_published_table_comes_out_again_on_its_own_assumptions() -> None:
    table = {(row.who.split()[0], row.what): row for row in laurers_table(rates_on(Costs(), ON))}
    again = {key: tuple(SENTENCES * each for each in row.again) for key, row in table.items()}
    assert again["RoBERTa-base", "usd"][0] == pytest.approx(2.7, abs=0.05)
    assert again["GPT-4", "usd"][0] == pytest.approx(3061)
    assert again["RoBERTa-base", "kg"][0] == pytest.approx(0.12, abs=0.005)
    assert again["GPT-4", "kg"] == pytest.approx((735, 1100), rel=0.03)
    assert again["RoBERTa-base", "seconds"][0] / 3600 == pytest.approx(4.52, rel=0.01)
    assert table["GPT-4", "kg"].today.high < table["GPT-4", "kg"].again.low


def test_today_s_column_uses_the_task_s_rates() -> None:
    costs = parse_task(
        "name: x\nlabels: [a, b]\ncosts:\n  grid: {since: 2026-01-01, value: 0.1}\n"
        "  gpu_hour: {since: 2026-01-01, value: 1.2}\n  core_hour: {since: 2027-01-01, value: 9}\n"
    ).costs
    rates = rates_on(costs, ON)
    assert (rates.grid.value, rates.grid.basis) == (0.1, "task.yaml, since 2026-01-01")
    assert rates.core_hour.value == rates_on(Costs(), ON).core_hour.value, "not in force yet"
    table = laurers_table(rates)
    assert table[0].today.low == pytest.approx(2 * table[0].again.low)


def test_a_country_s_factor_comes_from_codecarbon_s_table() -> None:
    from codecarbon.input import DataSource  # type: ignore[import-untyped]

    row = DataSource().get_global_energy_mix_data()["FRA"]
    rate = rates_on(Costs(country="FRA"), ON).grid
    assert rate.value == row["carbon_intensity"] / 1000
    assert rate.basis.startswith(f"France, {row['year']}, table of codecarbon ")
    assert rates_on(Costs(country="FRA", grid=None), ON).grid.value < rates_on(Costs(), ON).grid.value
    assert "no factor for XYZ" in rates_on(Costs(country="XYZ"), ON).grid.basis


def test_without_codecarbon_the_world_s_factor_is_used_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    rate = rates_on(Costs(country="FRA"), ON).grid
    assert rate.value == rates_on(Costs(), ON).grid.value
    assert "pip install 'tutelage[carbon]'" in rate.basis


@pytest.mark.parametrize(
    ("line", "said"),
    [("country: Germany", "three capitals"), ("grid: {since: 2026-01-01, value: 380}", "kg of CO2 per kWh")],
)
def test_rates_that_cannot_be_meant_are_refused(line: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        parse_task(f"name: x\nlabels: [a, b]\ncosts:\n  {line}\n")


@pytest.mark.parametrize(("fixed", "student", "llm"), [(25.0, 1e-6, 8e-4), (0.0, 1e-6, 2e-6), (1e6, 0.0, 3e-5)])
def test_at_break_even_the_student_is_cheaper_and_one_text_before_it_is_not(
    fixed: float, student: float, llm: float
) -> None:
    even = break_even(fixed, exactly(student), exactly(llm))
    assert even is not None
    assert fixed + even * student < even * llm
    assert fixed + (even - 1) * student >= (even - 1) * llm


def test_a_student_that_never_becomes_cheaper_has_no_break_even() -> None:
    assert break_even(1.0, exactly(2e-6), exactly(2e-6)) is None
    assert break_even(1.0, None, exactly(1.0)) is None


SPEED = Throughput(texts=100, wall_s=2.0, cpu_s=3.0, on_gpu=False, cores=2, latency_s=0.03)
CALLS = Spent(
    teacher="t",
    prompt="cot",
    vote=1,
    texts=10,
    calls=10,
    priced=0,
    tokens_in=4000,
    tokens_out=1000,
    cost=0.0,
    latency=20.0,
)


NOW = {("t", "cot")}


def test_a_prompt_that_was_replaced_has_been_paid_for_and_is_no_part_of_what_the_teacher_costs() -> None:
    task = parse_task(
        "name: x\nlabels: [a, b]\nteachers:\n- {name: t, license: none, model: m, prices: "
        "[{since: 2026-01-01, input: 1, output: 2}]}\n"
    )
    found = economy(task, SPEED, [replace(CALLS, prompt="former"), CALLS], [1] * 10, [], 5, ON, current=NOW)
    alone = economy(task, SPEED, [CALLS], [1] * 10, [], 5, ON, current=NOW)
    assert (found.llm.usd, found.llm.seconds, found.llm.kg) == (alone.llm.usd, alone.llm.seconds, alone.llm.kg)
    assert found.votes_usd == pytest.approx(2 * (alone.votes_usd or 0))


def test_a_teacher_that_was_asked_costs_what_its_tokens_cost_today() -> None:
    task = parse_task(
        "name: x\nlabels: [a, b]\nteachers:\n- {name: t, license: none, model: m, limits: {concurrency: 4}, prices: "
        "[{since: 2026-01-01, input: 1, output: 2}, {since: 2026-06-01, input: 3, output: 4}]}\n"
    )
    found = economy(task, SPEED, [CALLS, replace(CALLS, vote=2)], [2] * 10, [], 5, ON, current=NOW)
    assert found.llm.usd == exactly(pytest.approx(2 * (4000 * 3 + 1000 * 4) / 1e6 / 10))
    assert found.llm.seconds == exactly(pytest.approx(2 * 20 / 10 / 4))
    assert found.votes_usd == pytest.approx(2 * (4000 * 3 + 1000 * 4) / 1e6)
    assert found.student
    assert found.student.seconds == exactly(0.02)
    assert found.student.usd == exactly(pytest.approx(0.03 / 3600 * 0.05))
    assert found.student.kg == exactly(pytest.approx(0.03 * 10 / 3.6e6 * 0.445))


def test_a_teacher_without_a_price_has_none_invented() -> None:
    task = parse_task("name: x\nlabels: [a, b]\nteachers:\n- {name: t, license: none, model: m}\n")
    found = economy(task, SPEED, [CALLS], [1] * 10, [], 5, ON, current=NOW)
    assert found.llm.usd is None
    assert "prices" in found.llm.usd_basis
    assert found.break_even is None
    recorded = economy(task, SPEED, [replace(CALLS, priced=10, cost=0.5)], [1] * 10, [], 5, ON, current=NOW)
    assert recorded.llm.usd == exactly(0.05)


# The page


class Parts(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.said = list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def test_every_picture_has_a_title_a_description_and_a_table(html: str) -> None:
    pictures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    assert len(pictures) == html.count("<svg ") == 10
    for picture in pictures:
        title, description = re.findall(r'<(?:title|desc) id="([^"]+)">[^<]+</', picture)
        assert f'role="img" aria-labelledby="{title} {description}"' in picture
        assert re.search(r"<details>.*<table>.*<td>", picture, re.DOTALL)
    identities = re.findall(r' id="([^"]+)"', html)
    assert len(identities) == len(set(identities))


def test_the_page_leads_nowhere_else(html: str) -> None:
    parts = Parts(html)
    for tag, attributes in parts.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "style-src", "use", "image"}
        assert not {name for name in attributes if name.startswith("on") or name in {"style", "src", "srcset"}}
        assert (attributes.get("href") or "#").startswith("#")
    assert [tag for tag, _ in parts.tags].count("script") == 1
    assert "url(" not in html
    assert "@import" not in html


def test_it_holds_no_text_and_no_reviewer_s_name(reviewed: Reviewed, server: Server, html: str) -> None:
    frame = Project(reviewed.workspace.root).records()
    assert not [text for text in frame["text"] if text in html]
    assert server.annotator not in Parts(html).text


def test_the_summary_says_what_the_figures_say(html: str, figures: Report) -> None:
    assert figures.student
    assert figures.student.evaluation
    said = Parts(html).text
    scores = figures.student.evaluation.scores[figures.student.id]
    assert f"is right on {100 * scores.accuracy:.1f} % of {scores.rows} held-out texts" in said
    assert f"People reviewed {ANSWERS} of {figures.review.texts} texts, the most doubtful first" in said
    assert figures.review.changed
    assert f"changed {figures.review.changed.hits} of the {figures.review.changed.rows} suggestions they saw" in said
    for interval in ("Wilson", "Tango", "bootstrap", "McNemar"):
        assert interval in said


def test_without_texts_votes_answers_a_student_or_a_holdout_it_says_how_to_get_them(tmp_path: Path) -> None:
    """One task, step by step."""
    root = tmp_path / "task"
    root.mkdir()
    (root / "task.yaml").write_text("name: t\nlabels: [up, down, flat]\nstudent: linear\n", "utf-8")
    workspace = Workspace(root)

    def said() -> str:
        return Parts(render_page(collect_report(Workspace(root)))).text

    assert "bring some with tutelage load" in said()
    assert not workspace.db.exists(), "looking makes nothing"
    rows = sentences(60)
    with Ledger(workspace.db) as ledger:
        ledger.add([Record(f"r{n}", text) for n, (text, _) in enumerate(rows)])
    assert "ask a teacher with tutelage annotate" in said()
    fill(workspace, records(rows), {})
    page = said()
    assert "tutelage push, tutelage rank, review in Argilla, tutelage pull" in page
    assert "There is no student yet: tutelage train." in page
    project = Project(root)
    answers = root / "answers.csv"
    lines = [f"r{n},{gold}" for n, (_, gold) in enumerate(rows[:55])]
    answers.write_text("\n".join(["id,label", *lines, ""]), "utf-8")
    project.import_review(answers, annotator="anna")
    found = collect_report(Workspace(root)).review
    assert (found.reviewed, found.ranked, found.changed.rows if found.changed else 0) == (55, False, 55)
    assert "the most doubtful first" not in said()
    project.pull()
    project.train()
    page = said()
    assert "The task has no holdout with gold labels." in page
    assert "Labelling 1,000,000 texts with the student costs about $" in page
    assert not (root / LOCK).exists()


def test_a_report_before_the_first_student_locks_no_holdout(tmp_path: Path) -> None:
    workspace = small_task(tmp_path / "task", 60)
    found = collect_report(workspace)
    assert found.quality.on_holdout
    assert found.quality.on_holdout.rows == found.asked.held_out > 0
    assert not (workspace.root / LOCK).exists()
    Project(workspace.root).train()
    collect_report(workspace)
    assert (workspace.root / LOCK).exists()


def test_a_holdout_that_changed_is_said_in_its_place(tmp_path: Path) -> None:
    workspace = small_task(tmp_path / "task", 60)
    Project(workspace.root).train()
    collect_report(workspace)
    lock = json.loads((workspace.root / LOCK).read_text("utf-8"))
    lock["rows"]["gone"] = "0"
    (workspace.root / LOCK).write_text(json.dumps(lock), "utf-8")
    found = collect_report(Workspace(workspace.root))
    assert "rows locked on" in found.problem
    assert found.problem in Parts(render_page(found)).text


def test_an_evaluation_that_is_damaged_is_measured_anew(reviewed: Reviewed, figures: Report) -> None:
    assert figures.student
    assert figures.student.evaluation
    other = next(point for point in figures.student.curve if point.id != figures.student.id)
    name = f"evaluate-{other.id}-{figures.student.evaluation.gold_set_digest}.json"
    reviewed.workspace.reports.mkdir(exist_ok=True)
    saved = reviewed.workspace.reports / name
    for damaged in ("[]", "{}", '{"scores": []}', json.dumps({"scores": {other.id: {}}})):
        saved.write_text(damaged, "utf-8")
        found = collect_report(reviewed.workspace).student
        assert found
        assert {point.id for point in found.curve} == {point.id for point in figures.student.curve}
    saved.unlink()


@pytest.mark.parametrize("missing", ["file", "library"])
def test_a_student_that_cannot_be_loaded_leaves_the_rest(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = small_task(tmp_path / "task", 60)
    student = Path(Project(workspace.root).train().path)
    if missing == "file":
        (student / "head.npz").unlink()
    else:
        monkeypatch.setitem(sys.modules, "tutelage.training.students.linear", None)
    found = collect_report(workspace)
    assert found.student
    assert found.student.evaluation is None
    assert {"file": "cannot be loaded", "library": "is not installed"}[missing] in found.student.missing
    page = Parts(render_page(found)).text
    assert found.student.missing in page
    assert found.quality.on_holdout
    assert "its speed cannot be measured" in page


def test_a_review_that_made_labels_worse_is_said_at_the_top(tmp_path: Path) -> None:
    task = Filed(tmp_path / "task", 200)
    task.answer(20)
    assert "made labels worse" not in Parts(render_page(collect_report(task.workspace))).text
    open_ids = [name for name in task.gold if not task.workspace.task.holds_out(name)][20:80]
    wrong = [next(label for label in ("up", "down") if label != task.gold[name]) for name in open_ids]
    task.project.import_review(pd.DataFrame({"id": open_ids, "label": wrong}), annotator="bob")
    found = collect_report(task.workspace)
    assert found.quality.on_gold
    before, after = found.quality.on_gold.before.value, found.quality.on_gold.after.value
    page = Parts(render_page(found)).text
    assert f"{100 * before:.1f} % were right before and {100 * after:.1f} % are now" in page
    assert "bob" not in page


def test_drift_is_shown_as_the_last_run_that_measured_it_found_it(tmp_path: Path) -> None:
    workspace = small_task(tmp_path / "task", 60)
    assert "No new texts were compared yet" in Parts(render_page(collect_report(workspace))).text
    names = ("outcome", "message", "server", "dataset", "activity", "snapshot", "challenger", "champion")
    line = dict.fromkeys(names, "") | {"at": "2026-11-20T03:00:00+00:00"}
    then, now = (np.repeat([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.3, 0.3]], counts, axis=0)
                 for counts in ((70, 29, 1), (10, 15, 15)))  # fmt: skip
    drift = asdict(prediction_drift("linear-1", workspace.task.label_names, then, now))
    older = asdict(prediction_drift("linear-1", workspace.task.label_names, now, then))
    lines = [{**line, "drift": older}, {**line, "drift": drift}, line]
    (workspace.root / HISTORY).write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    page = Parts(render_page(collect_report(workspace))).text
    assert f"{drift['message']} (retrain of 2026-11-20)." in page
    assert "71.0 % → 62.5 %" in page
    assert "low confidence: 1.0 % then, 37.5 % now" in page
    assert "40 new texts against 100" in page
    none = asdict(prediction_drift("linear-1", workspace.task.label_names, then, now[:0]))
    (workspace.root / HISTORY).write_text(json.dumps({**line, "drift": none}) + "\n", "utf-8")
    assert "0 new texts against 100: nothing is tested" in Parts(render_page(collect_report(workspace))).text


def test_many_labels_are_no_matrix_and_students_of_one_size_stand_side_by_side(tmp_path: Path) -> None:
    names = [f"label {n}" for n in range(30)]
    root = tmp_path / "task"
    root.mkdir()
    task = {"name": "many", "labels": names, "holdout": {"share": 0.5}, "student": "linear"}
    (root / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    texts = [(f"{text} {names[n % 30]}", names[n % 30]) for n, (text, _) in enumerate(sentences(240))]
    votes = root / "votes.csv"
    votes.write_text("\n".join(["id,text,v", *[f'r{n},"{t}",{g}' for n, (t, g) in enumerate(texts)], ""]), "utf-8")
    project = Project(root)
    project.import_votes(votes, id="id", votes=["v"], gold="v", teacher="one")
    answers = root / "answers.csv"
    answers.write_text("id,label\nr1,label 2\n", "utf-8")
    project.import_review(answers, annotator="anna")
    project.pull()
    project.train()
    page = render_page(collect_report(Workspace(root)))
    assert 'id="p-confusion' not in page
    assert "The most frequent mistakes" in page


# Hostile texts, in the page and in a real browser

HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=2>',
    "javascript:window.hacked=3",
    "\u202eevil\u2066 {{ 7*7 }} </title></style>",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a task whose every word is meant to do harm."""
    root = tmp_path_factory.mktemp("hostile") / "task"
    root.mkdir()
    labels = [{"name": name, "definition": f"{HOSTILE[0]} {name[:3]}"} for name in HOSTILE]
    task = {"name": "hostile", "question": HOSTILE[0] + HOSTILE[3], "guidelines": "\n\n".join(HOSTILE)}
    teacher = {"name": HOSTILE[1], "license": "none", "model": HOSTILE[0], "prompts": ["plain"], "votes": 1}
    content = {**task, "labels": labels, "teachers": [teacher], "holdout": {"share": 0.4}, "student": "linear"}
    (root / "task.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    workspace = Workspace(root)
    rows = [(f"{text} <script>window.hacked=4</script>", HOSTILE[n % 4]) for n, (text, _) in enumerate(sentences(160))]
    votes = root / "votes.jsonl"
    lines = [{"id": f"r{n}", "text": text, "gold": gold, "v": HOSTILE[0] if n % 7 == 0 else gold}
             for n, (text, gold) in enumerate(rows)]  # fmt: skip
    votes.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    project = Project(root)
    project.import_votes(votes, id="id", gold="gold", votes=["v"], teacher=HOSTILE[1])
    answers = root / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": one["id"], "label": one["gold"]}) + "\n" for one in lines), "utf-8")
    project.import_review(answers, annotator="<b>anna</b>")
    project.pull()
    project.promote(project.train().id)
    with_prompts(workspace)
    return render_page(collect_report(workspace))


def with_prompts(workspace: Workspace) -> None:
    from tutelage.loaders.teacher.panel import panels_of
    from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

    with TeacherLedger(workspace.db) as ledger:
        ledger.set_panels(panels_of(workspace.task, workspace.root))


def test_hostile_words_are_words(hostile: str) -> None:
    parts = Parts(hostile)
    tags = [tag for tag, _ in parts.tags]
    assert (tags.count("script"), tags.count("img"), tags.count("style")) == (1, 0, 1)
    assert HOSTILE[1] in parts.text
    assert "49" not in re.findall(r"evil.{0,20}", parts.text)[0]
    assert not set(hostile) & set("\u202e\u2066")
    assert "[U+202E]evil[U+2066]" in parts.text


def test_what_turns_or_hides_text_is_shown_and_other_scripts_are_left_alone() -> None:
    assert visible("a\u202eb\x00c\ud800") == "a[U+202E]b[U+0000]c[U+D800]"
    assert visible("عربي 👩‍🔬 日本\n\t") == "عربي 👩‍🔬 日本\n\t"


def test_in_a_browser_nothing_runs_nothing_leaves_and_a_phone_needs_no_sideways_scroll(
    page: Any, hostile: str, html: str, tmp_path: Path
) -> None:
    asked, complaints = list[str](), list[str]()
    page.context.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    for name, text in (("hostile", hostile), ("report", html)):
        path = tmp_path / f"{name}.html"
        path.write_text(text, "utf-8")
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(path.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert sizes == [width, width]
            screenshot(page, f"report-{name}-{width}.png")
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("getComputedStyle(document.body).marginTop") == "0px", "its style is allowed"
    assert set(asked) == {(tmp_path / f"{name}.html").as_uri() for name in ("hostile", "report")}
    assert complaints == []
    injected = "() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 9';"
    page.evaluate(injected + " document.body.append(s); }")
    assert page.evaluate("window.hacked") is None, "the page's policy lets no other script run"


def test_the_number_of_texts_changes_the_costs(page: Any, html: str, figures: Report, tmp_path: Path) -> None:
    path, money = tmp_path / "report.html", figures.money
    path.write_text(html, "utf-8")
    page.goto(path.as_uri())
    assert money.student
    assert money.student.usd
    assert money.llm.usd
    assert money.llm.kg
    assert money.break_even

    def cells() -> list[str]:
        return list(page.locator("#money table").first.locator(".cell").all_inner_texts())

    def saved(texts: int, price: float) -> str:
        fixed = (money.votes_usd or 0.0) + money.training_usd + money.reviews * price
        value = texts * (money.llm.usd[0] - money.student.usd[1]) - fixed  # type: ignore[index, union-attr]
        return amount("usd", value, value)

    def expected(texts: int) -> list[str]:
        spans = [("usd", money.student.usd), ("seconds", money.student.seconds), ("kg", money.student.kg)]  # type: ignore[union-attr]
        spans += [("usd", money.llm.usd), ("kg", money.llm.kg)]
        return [amount(what, texts * span[0], texts * span[1]) for what, span in spans if span]

    written = [cell.strip() for cell in re.findall(r'data-what="\w+"[^>]*>([^<]+)<', html)]
    assert cells() == expected(1_000_000) == written[:5], "the script writes what the page said before it ran"
    for texts in (1, 999, 54_321, 10**10):
        page.locator("#texts").fill(str(texts))
        assert cells() == expected(texts)
        assert page.locator("[data-size]").first.inner_text() == f"{texts:,}"
        assert page.get_by_role("row", name="Saved against").locator(".cell").inner_text() == saved(texts, 0.25)
    page.locator("#review-price").fill("0")
    assert page.get_by_role("row", name="Saved against").locator(".cell").inner_text() == saved(10**10, 0.0)
    before = cells()
    for nonsense in ("", "-3", "0"):
        page.locator("#texts").fill(nonsense)
        assert cells() == before


@pytest.mark.parametrize(
    ("what", "low", "high", "said"),
    [
        ("usd", 0.0031, 0.0031, "$0.0031"),
        ("usd", 2.734, 2.734, "$2.73"),
        ("usd", -3061.2, -3061.2, "\u2212$3,061"),
        ("seconds", 0.0009, 0.0009, "0.90 ms"),
        ("seconds", 16_393, 16_393, "4.55 hours"),
        ("seconds", 90, 90, "90.0 s"),
        ("kg", 0.00018, 0.00018, "0.18 g"),
        ("kg", 736.1, 1125.8, "736 to 1,126 kg"),
        ("kg", 7361.0, 11258.0, "7.36 to 11.3 t"),
    ],
)
def test_amounts_read_well(what: str, low: float, high: float, said: str) -> None:
    assert amount(what, *Span(low, high)) == said


# The command


def run(*words: object) -> str:
    """What the command of these words prints."""
    done = CliRunner().invoke(cli, ["report", *map(str, words)], catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_the_command_writes_into_reports_to_a_file_or_to_standard_output(
    reviewed: Reviewed, figures: Report, tmp_path: Path
) -> None:
    here = ("--task", reviewed.workspace.root)
    written = Path(run(*here).strip())
    assert re.fullmatch(r"report-\d{8}T\d{6}Z\.html", written.name)
    assert written.parent == reviewed.workspace.reports
    assert written.read_text("utf-8").lstrip().startswith("<!doctype html>")
    out = tmp_path / "new" / "a.html"
    as_json = json.loads(run("--out", out, "--json", *here))
    assert as_json["path"] == str(out)
    assert out.exists()
    assert as_json["review"]["changed"]["hits"] == figures.review.changed.hits  # type: ignore[union-attr]
    assert "html" not in as_json
    before = set(reviewed.workspace.reports.iterdir())
    assert run("--out", "-", *here).lstrip().startswith("<!doctype html>")
    assert set(reviewed.workspace.reports.iterdir()) == before


def test_a_report_that_cannot_be_written_says_so(
    tutelage: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "task.yaml").write_text("name: t\nlabels: [a, b]\n", "utf-8")
    (tmp_path / "file").write_text("", "utf-8")
    done = tutelage("report", "--task", tmp_path, "--out", tmp_path / "file" / "a.html", ok=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr
