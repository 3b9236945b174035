"""What students say of records that they did not see: folds, what is kept of them, and which students are asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from training_data import WORDS, fill, make_workspace, manifest, records, sentences, tiny_roberta

from tutelage.core.arrays import NO_LABEL, Ints
from tutelage.core.errors import StudentError
from tutelage.core.pred_probs import read_pred_probs
from tutelage.core.records import Progress, Record
from tutelage.core.workspace import Workspace
from tutelage.loaders.rows import text_key
from tutelage.project import Project
from tutelage.training.out_of_sample import cross_validation
from tutelage.training.out_of_sample.choice import choose_students
from tutelage.training.out_of_sample.cross_validation import out_of_sample, training_rows
from tutelage.training.out_of_sample.folds import NO_FOLD, assign_folds
from tutelage.training.out_of_sample.kept_folds import FoldPlan
from tutelage.training.out_of_sample.student_probs import StudentProbs
from tutelage.training.registry import find_student, promote_student, write_student
from tutelage.training.students.character_ngrams import CharacterVectorizer
from tutelage.training.students.recipe import Recipe, parse_student

NAMES = tuple(WORDS)
ROWS = sentences(80)
TEXTS = [text for text, _ in ROWS]
LABELS = np.array([NAMES.index(label) for _, label in ROWS])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_roberta(tmp_path_factory.mktemp("tiny"), [text for text, _ in sentences(240)]))


@pytest.fixture
def tuned(tiny: str) -> Recipe:
    return Recipe(kind="encoder", model=tiny, epochs=1, learning_rate=5e-3, max_length=40)


class Said:
    """Everything that was said of the progress."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def __call__(self, state: Progress) -> None:
        self.steps.append(state.step)

    def holds(self, word: str) -> bool:
        return any(word in step for step in self.steps)


Asked = Callable[..., tuple[StudentProbs, Said]]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    def ask(texts: list[str] = TEXTS, labels: Ints = LABELS) -> tuple[StudentProbs, Said]:
        said = Said()
        return StudentProbs(texts=texts, labels=labels, names=NAMES, folder=tmp_path / "kept", progress=said), said

    return ask


# Folds


def test_folds_keep_groups_together_and_spread_each_label() -> None:
    groups = np.repeat(np.arange(50), 2)
    labels = np.repeat(np.arange(50) % 2, 2)
    fold = assign_folds(labels, groups, 5, seed=3)
    assert (fold[::2] == fold[1::2]).all()
    assert [np.bincount(fold[labels == label]).tolist() for label in (0, 1)] == [[10] * 5] * 2
    assert (fold == assign_folds(labels, groups, 5, seed=3)).all()
    assert (fold != assign_folds(labels, groups, 5, seed=4)).any()


def test_a_text_without_a_label_has_the_fold_of_its_group_or_none() -> None:
    fold = assign_folds(np.array([0, 1, NO_LABEL, NO_LABEL]), np.array([0, 1, 1, 2]), 5, seed=0)
    assert fold[2] == fold[1] != fold[0]
    assert fold[3] == NO_FOLD


def test_one_group_alone_leaves_nothing_to_learn_from() -> None:
    assert (assign_folds(np.array([0, 0]), np.array([0, 0]), 5, seed=0) == NO_FOLD).all()


def test_a_fold_learns_from_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "MOST_ROWS", 30)
    fold = np.arange(100) % 5
    rows = training_rows(np.zeros(100, dtype=np.int64), fold, 2, 0)
    assert len(set(rows.tolist())) == 30
    assert 2 not in fold[rows]


def test_near_duplicates_are_in_one_fold(asked: Asked) -> None:
    """A copy with another end would give its label away."""
    copies = [f"{text} today" for text in TEXTS]
    probs, _ = asked([*TEXTS, *copies], np.concatenate([LABELS, LABELS]))
    assert (probs.groups[:80] == probs.groups[80:]).all()
    probs.of(parse_student("linear"))
    plan = probs.kept(parse_student("linear")).plan()
    assert plan
    assert (plan.fold[:80] == plan.fold[80:]).all()


# What is kept


def test_the_mean_is_that_of_each_student(asked: Asked, tiny: str) -> None:
    recipes = [parse_student("linear"), parse_student(f"{tiny}:frozen")]
    probs, _ = asked()
    each = [asked()[0].of(recipe) for recipe in recipes]
    assert np.abs(each[0] - each[1]).max() > 0.01
    assert probs.mean(recipes) == pytest.approx((each[0] + each[1]) / 2)


def test_the_same_rows_are_not_fitted_again(asked: Asked) -> None:
    linear = parse_student("linear")
    first = asked()[0].of(linear)
    again, said = asked()
    assert (again.of(linear) == first).all()
    assert said.steps == []


@pytest.mark.parametrize("of", ["label", "text", "seed", "libraries"])
def test_what_changed_is_fitted_again(asked: Asked, of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = parse_student("linear")
    asked()[0].of(linear)
    labels = LABELS.copy()
    labels[0] = (labels[0] + 1) % 3
    probs, said = asked(labels=labels) if of == "label" else asked()
    if of == "text":
        probs, said = asked([*TEXTS, "profit rose"], np.append(LABELS, 0))
    if of == "seed":
        probs = replace(probs, seed=1)
    if of == "libraries":
        monkeypatch.setattr("tutelage.training.out_of_sample.student_probs.versions", lambda _recipe: {"numpy": "0"})
    found = probs.of(linear)
    assert said.holds("out-of-sample")
    fresh = out_of_sample(probs.texts, probs.labels, 3, seed=probs.seed, groups=probs.groups)
    assert found == pytest.approx(fresh), "with the corrected label, as if nothing had been kept"


def test_damaged_files_are_made_anew(asked: Asked) -> None:
    linear = parse_student("linear")
    probs, _ = asked()
    first = probs.of(linear)
    for path in probs.kept(linear).folder.glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:40])
    assert (asked()[0].of(linear) == first).all()


def test_each_text_is_embedded_once(asked: Asked, tiny: str) -> None:
    frozen = parse_student(f"{tiny}:frozen")
    asked()[0].of(frozen)
    labels = LABELS.copy()
    labels[:20] = (labels[:20] + 1) % 3
    probs, said = asked(labels=labels)
    changed = probs.of(frozen)
    assert not said.holds("embedding")
    assert said.holds("out-of-sample")
    assert changed == pytest.approx(replace(probs, folder=probs.folder / "fresh").of(frozen), abs=1e-5)


def test_another_model_under_the_same_path_is_asked_anew(asked: Asked, tiny: str, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny, tmp_path / "model"))
    frozen = parse_student(f"{path}:frozen")
    asked()[0].of(frozen)
    (path / "config.json").write_text((path / "config.json").read_text("utf-8") + " ", "utf-8")
    probs, said = asked()
    probs.of(frozen)
    assert said.holds("embedding")


def test_kept_folds_answer_for_new_texts_until_enough_labels_changed(asked: Asked, tuned: Recipe) -> None:
    probs, said = asked()
    first = probs.of(tuned)
    assert said.holds("training")
    more = [*TEXTS, f"{TEXTS[0]} today", "sales doubled in Oulu"]
    few, few_said = asked(more, np.append(LABELS, [NO_LABEL, 0]))
    extended = few.of(tuned)
    assert not few_said.holds("training")
    assert (extended[:80] == first).all()
    assert extended[80] != pytest.approx(extended[81])
    many = LABELS.copy()
    many[:5] = (many[:5] + 1) % 3
    probs, said = asked(labels=many)
    probs.of(tuned)
    assert said.holds("training"), "5 of 80 labels"


def test_a_text_that_is_gone_is_unlearned_at_once() -> None:
    """It may be in the holdout now."""
    plan = FoldPlan(tuple("abcd"), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]))
    assert plan.change("abcde", np.array([0, 1, 0, 1, NO_LABEL])) == 0
    assert plan.change("abcde", np.array([0, 1, 0, 0, 1])) == 0.5
    assert plan.change("abcd", np.array([0, 1, 0, NO_LABEL])) == 0.25
    assert plan.change("abce", np.array([0, 1, 0, 1])) == 1


def test_a_killed_run_goes_on_at_the_last_finished_fold(asked: Asked, tuned: Recipe, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(state: Progress) -> None:
        if state.done == 2 and state.unit == "folds":
            raise Killed

    probs, said = asked()
    with pytest.raises(Killed):
        replace(probs, progress=kill).of(tuned)
    folds = sorted(probs.kept(tuned).folder.glob("fold-?"))
    assert [fold.name for fold in folds] == ["fold-0", "fold-1"]
    before = [fold.stat().st_ino for fold in folds]
    found = probs.of(tuned)
    assert [fold.stat().st_ino for fold in folds] == before
    assert said.steps.count(f"loading {tuned.model}") == 3
    assert found == pytest.approx(replace(probs, folder=tmp_path / "fresh").of(tuned))


# Which students


def chosen(workspace: Workspace, *names: str, probs: StudentProbs) -> tuple[tuple[str, ...], str]:
    champion = find_student(workspace.students, "champion") if (workspace.students / "champion").exists() else None
    found = choose_students(names, probs, workspace.task, champion)
    return found.names, found.why


def test_the_champions_recipe_is_trained_anew(tmp_path: Path, asked: Asked, tiny: str) -> None:
    workspace = make_workspace(tmp_path / "task")
    probs, _ = asked()
    with pytest.raises(StudentError, match="there is no champion yet"):
        chosen(workspace, "champion", probs=probs)
    recipe = parse_student(f"{tiny}:frozen", seed=7)
    entry = write_student(
        workspace.students, "one", lambda _folder: manifest(id="one", kind="frozen", model=tiny, recipe=recipe)
    )
    promote_student(workspace.students, "one")
    assert chosen(workspace, "champion", probs=probs) == ((f"{tiny}:frozen",), "")
    assert chosen(workspace, "linear", "champion", "linear", probs=probs)[0] == ("linear", f"{tiny}:frozen")
    with pytest.raises(StudentError, match="has seen texts"):
        chosen(workspace, str(entry.path), probs=probs)


def test_auto_takes_what_is_there_and_says_why(tmp_path: Path, asked: Asked, tiny: str) -> None:
    probs, _ = asked()
    alone = {"linear": "names an encoder", "nobody/such-a-model": "is not on this disk"}
    for student, why in alone.items():
        names, words = chosen(make_workspace(tmp_path / student, student=student), "auto", probs=probs)
        assert names == ("linear",)
        assert why in words
    names, words = chosen(make_workspace(tmp_path / "tiny", student=tiny), "auto", probs=probs)
    assert names == ("linear", f"{tiny}:frozen")
    assert "fine-tuning each fold needs a GPU" in words


def test_auto_takes_fine_tuned_folds_that_are_kept(tmp_path: Path, asked: Asked, tiny: str, tuned: Recipe) -> None:
    workspace = make_workspace(tmp_path / "task")
    write_student(workspace.students, "one", lambda _folder: manifest(id="one", model=tiny, recipe=tuned))
    promote_student(workspace.students, "one")
    probs, _ = asked()
    assert chosen(workspace, "auto", probs=probs)[0] == ("linear", f"{tiny}:frozen")
    probs.of(tuned)
    names, words = chosen(workspace, "auto", probs=probs)
    assert names == ("linear", f"{tiny}:frozen", tiny)
    assert "its folds are kept" in words


def test_auto_leaves_out_what_takes_too_long(
    tmp_path: Path, asked: Asked, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.training.out_of_sample.choice.AFFORDABLE_S", 0)
    names, words = chosen(make_workspace(tmp_path / "task", student=tiny), "auto", probs=asked()[0])
    assert names == ("linear",)
    assert "more than 0" in words


def test_rank_averages_and_says_which(tmp_path: Path, tiny: str) -> None:
    workspace = make_workspace(tmp_path)
    fill(workspace, records(ROWS), {})
    project = Project(tmp_path)
    ranked = project.rank(student=["linear", f"{tiny}:frozen"], push=False)
    assert ranked.students == ("linear", f"{tiny}:frozen")
    mean = read_pred_probs(workspace.pred_probs, NAMES).to_numpy()
    each = []
    for student in ranked.students:
        assert project.rank(student=student, push=False).students == (student,)
        each.append(read_pred_probs(workspace.pred_probs, NAMES).to_numpy())
    assert mean == pytest.approx((each[0] + each[1]) / 2)


def test_a_corrected_label_is_what_the_folds_learn(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    fill(workspace, [Record("one", "profit rose", "down"), *records(ROWS)], {})
    project = Project(tmp_path)
    for label in ("down", "up"):
        project.rank(push=False)
        (path,) = workspace.out_of_sample.glob("linear-*/folds.parquet")
        learned = dict(zip(*pq.read_table(path, columns=["key", "label"]).to_pydict().values(), strict=True))
        assert NAMES[learned[text_key("profit rose")]] == label
        project.import_review(pd.DataFrame({"id": ["one"], "label": ["up"]}), annotator="ann")


# Features


@pytest.mark.parametrize("count", [1, 200])
def test_character_ngrams_are_those_of_scikit_learn(count: int) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    odd = ["", "a", " a  b\ta ", "İstanbul ﬁne", "ab ab abc", "naïve—or not? 3.5%", "\u00a0x\u200by"]
    texts = [*odd, *(text for text, _ in sentences(100))]
    ours, features = CharacterVectorizer.fitted(texts, min_df=2)
    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    assert abs(features - theirs.fit_transform(texts)).max() < 1e-15
    assert ours.get_feature_names_out() == theirs.get_feature_names_out().tolist()
    asked = (texts * 2)[:count]
    assert abs(ours.transform(asked) - theirs.transform(asked)).max() < 1e-15
    again = CharacterVectorizer.restored(ours.get_feature_names_out(), ours.idf_)
    assert abs(again.transform(asked) - theirs.transform(asked)).max() < 1e-15
