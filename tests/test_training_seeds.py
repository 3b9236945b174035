"""Students of several seeds: trained together, measured together, and one recipe against another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from training_data import freeze, records, sentences, small_task, tiny_roberta

from tutelage import Project
from tutelage.commands.terminal.tables import describe_evaluation
from tutelage.core.arrays import Floats
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.training.measures.seeds import compare_recipes
from tutelage.training.registry import find_student, list_students, promote_student, siblings_of
from tutelage.training.students.recipe import Recipe
from tutelage.training.train import train


def drawn(
    random: np.random.Generator, seeds: int, deviation: float, easy: Floats, doubtful: Floats, gain: float = 0.0
) -> Floats:
    """What students have right, shape (seeds, rows): steadily on easy rows, by the seed on a tenth of them."""
    chance = 0.5 + (gain + random.normal(0, deviation, seeds)[:, None]) / 0.12
    return np.where(doubtful, random.random((seeds, len(easy))) < chance, easy).astype(np.float64)


def called(random: np.random.Generator, seeds: tuple[int, int], rows: int, gain: float = 0.0) -> tuple[float, bool]:
    """The p-value of two recipes whose seeds vary by 1 point, and whether the interval holds the true difference."""
    doubtful = random.random(rows) < 0.12
    sides = [drawn(random, n, 0.01, random.random(rows) < 0.95, doubtful, gain * (not i)) for i, n in enumerate(seeds)]
    found = compare_recipes(*sides)
    return found.p_value, found.interval.low <= gain <= found.interval.high


@pytest.mark.parametrize("seeds", [(3, 3), (3, 1)])
@pytest.mark.parametrize("rows", [300, 1000])
def test_equal_recipes_are_seldom_called_different(seeds: tuple[int, int], rows: int) -> None:
    """At .05, more than 37 of 500 have a probability of 1 in 100."""
    random = np.random.default_rng(rows)
    p_values, covered = zip(*(called(random, seeds, rows) for _ in range(500)), strict=True)
    assert sum(p < 0.05 for p in p_values) <= 37
    assert sum(covered) >= 463


def test_a_recipe_that_is_much_better_is_found() -> None:
    random = np.random.default_rng(0)
    p_values, covered = zip(*(called(random, (3, 3), 1000, gain=0.05) for _ in range(200)), strict=True)
    assert np.mean(np.array(p_values) < 0.05) > 0.7
    assert sum(covered) >= 180


def test_the_rows_alone_would_call_a_lucky_seed_a_better_recipe() -> None:
    """Three seeds of 88, 91 and 94 % against three of 92 to 93 %, on rows in the same order."""
    rows = np.arange(1000)
    lucky = np.stack([rows < right for right in (880, 910, 940)]).astype(np.float64)
    steady = np.stack([rows < right for right in (880, 881, 882)]).astype(np.float64)
    found = compare_recipes(lucky, steady)
    assert (found.verdict, found.first_seeds, found.second_seeds) == ("undecided", 3, 3)
    alone = (lucky.mean(axis=0) - steady.mean(axis=0)).mean() / (
        (lucky.mean(axis=0) - steady.mean(axis=0)).std() / 1000**0.5
    )
    assert alone > 4
    assert compare_recipes(steady, steady[:1], is_trained=False).second_seeds == 0


def test_no_difference_of_accuracies_is_larger_than_one() -> None:
    rows = np.arange(200)
    found = compare_recipes(np.stack([rows < 200, rows < 154]).astype(np.float64), (rows < 199)[None, :].astype(float))
    assert (found.interval.low, found.interval.high) == (-1, 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Recipe, str]:
    root = tmp_path_factory.mktemp("seeds")
    workspace = small_task(root / "task", 120)
    model = tiny_roberta(root / "tiny", [text for text, _ in sentences(120)])
    recipe = Recipe(kind="encoder", model=str(model), epochs=1, learning_rate=1e-3, validation=0)
    return workspace, recipe, train(workspace, recipe, seeds=3).id


def test_seeds_are_students_of_their_own_that_know_each_other(trained: tuple[Workspace, Recipe, str]) -> None:
    workspace, recipe, first = trained
    entries = list_students(workspace.students)
    assert sorted(entry.manifest.seed for entry in entries) == [42, 43, 44]
    assert {entry.manifest.siblings for entry in entries} == {entries[0].manifest.siblings}
    assert [entry.manifest.seed for entry in siblings_of(workspace.students, first)] == [42, 43, 44]
    assert find_student(workspace.students).manifest.seed == 42, "the first is used, not the last or the luckiest"
    again = train(workspace, recipe, seeds=2)
    assert (again.is_new, len(again.siblings), len(list_students(workspace.students))) == (False, 2, 3)
    assert len(siblings_of(workspace.students, first)) == 3
    assert list_students(workspace.students)[-1].id == first  # what status measures next is what evaluate takes


def test_evaluate_reports_the_spread_and_compares_with_it(trained: tuple[Workspace, Recipe, str]) -> None:
    workspace, _, first = trained
    linear = train(workspace, "linear")
    project = Project(workspace.root)
    measured = project.evaluate(student=first, against=linear.id)
    spread = measured.evaluation.seeds[first]
    alone = [project.evaluate(student=one).evaluation.scores[one].accuracy for one in spread.students]
    assert spread.accuracies == pytest.approx(alone)
    assert (spread.mean, spread.deviation) == pytest.approx((np.mean(alone), np.std(alone, ddof=1)))
    assert (spread.lowest, spread.highest) == (min(alone), max(alone))
    found = measured.evaluation.recipes
    assert {name: (c.first_seeds, c.second_seeds) for name, c in found.items()} == {
        linear.id: (3, 1),
        "teacher": (3, 0),
    }
    linear_accuracy = measured.evaluation.scores[linear.id].accuracy
    assert found[linear.id].difference == pytest.approx(np.mean(alone) - linear_accuracy)
    words = describe_evaluation(measured.evaluation)
    assert "3 seeds: accuracy" in words
    assert "over rows and seeds, the recipe of" in words
    assert json.loads(measured.report.read_text())["seeds"][first]["students"] == list(spread.students)


def test_students_of_one_recipe_are_not_compared_as_recipes(trained: tuple[Workspace, Recipe, str]) -> None:
    workspace, _, first = trained
    other = siblings_of(workspace.students, first)[1].id
    evaluation = Project(workspace.root).evaluate(student=first, against=other).evaluation
    assert set(evaluation.recipes) == {"teacher"}


def test_what_seeds_cannot_change_is_said(trained: tuple[Workspace, Recipe, str]) -> None:
    workspace = trained[0]
    with pytest.raises(StudentError, match="--seeds 3: a linear student is the same with every seed"):
        train(workspace, "linear", seeds=3)
    with pytest.raises(StudentError, match="--seeds 0: must be at least 1"):
        train(workspace, "linear", seeds=0)


def test_a_verdict_between_students_of_one_seed_says_what_it_is_about(tmp_path: Path) -> None:
    workspace = small_task(tmp_path, 300, holdout={"share": 0.5})
    good = train(workspace, "linear")
    made = records(sentences(300)[:60], wrong=0.6)
    freeze(workspace, made)
    poor = train(workspace, "linear")
    promote_student(workspace.students, good.id)
    evaluation = Project(workspace.root).evaluate(student=good.id, against=poor.id).evaluation
    assert evaluation.comparisons[poor.id].verdict == "better"
    assert "Each was trained with one seed" in describe_evaluation(evaluation)
