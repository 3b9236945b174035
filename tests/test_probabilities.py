"""What the probabilities of a student mean, and what is done with them: calibrated, too low, of truncated texts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from training_data import sentences, small_task, tiny_roberta

from tutelage.commands.predict import predict_command
from tutelage.commands.students import evaluate_command
from tutelage.core.arrays import Floats, decide
from tutelage.core.errors import StudentError
from tutelage.core.workspace import Workspace
from tutelage.loaders.sources import Source
from tutelage.training.encoders.token_windows import count_truncated
from tutelage.training.evaluation.evaluate import evaluate, write_report
from tutelage.training.evaluation.gold_set import load_holdout
from tutelage.training.hub.model_card import write_card
from tutelage.training.manifest import CALIBRATED, FILE, UNCALIBRATED, read_manifest
from tutelage.training.measures.calibration import with_temperature
from tutelage.training.measures.selective import is_kept, risk_coverage
from tutelage.training.prediction import windows
from tutelage.training.prediction.engines.engine import truncated
from tutelage.training.prediction.engines.selection import ChosenEngine, classifier_on
from tutelage.training.prediction.job import PredictionJob, output_format, part_key
from tutelage.training.prediction.kept import kept_of
from tutelage.training.prediction.predict import PredictResult, predict
from tutelage.training.prediction.ray_cluster import RayPlan, Worker, _write_window
from tutelage.training.prediction.serving.batching import ready_student
from tutelage.training.prediction.texts import predict_texts
from tutelage.training.registry import Entry, find_student
from tutelage.training.students.encoder import truncated_texts
from tutelage.training.students.recipe import parse_student
from tutelage.training.train import train

TEXTS = [text for text, _ in sentences(60, seed=5)]
PROBS = ["prob_up", "prob_down", "prob_flat"]
TEMPERATURE = 2.5
LENGTH = 11
"""Tokens that the encoder reads, as many as some of the texts have."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = small_task(tmp_path / "task")
    train(made, parse_student("linear"))
    return made


def calibrate(entry: Entry) -> Entry:
    """The student as one whose validation rows gave a temperature."""
    manifest = replace(entry.manifest, temperature=TEMPERATURE, probabilities=CALIBRATED)
    (entry.path / FILE).write_text(manifest.to_json(), "utf-8")
    return Entry(entry.id, entry.path, manifest)


@pytest.fixture
def entry(workspace: Workspace) -> Entry:
    return calibrate(find_student(workspace.students))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    return Source(str(tmp_path / "in.csv"))


def run(workspace: Workspace, source: Source, out: Path, **options: Any) -> PredictResult:
    entry = find_student(workspace.students)
    return predict(PredictionJob(workspace=workspace, entry=entry, source=source, out=str(out), **options))


# Calibrated


def test_every_way_gives_the_same_calibrated_probabilities(workspace: Workspace, entry: Entry, source: Source) -> None:
    own = entry.load().predict_proba(TEXTS)
    given = with_temperature(own, TEMPERATURE)
    assert np.abs(given - own).max() > 0.1
    out = Path(source.name).with_name("out.parquet")
    done = run(workspace, source, out)
    assert done.probabilities == CALIBRATED
    frame = pd.read_parquet(out)
    np.testing.assert_allclose(frame[PROBS], given, atol=1e-6)
    assert frame["label"].tolist() == [entry.manifest.labels[i] for i in decide(own)]
    np.testing.assert_allclose(predict_texts(workspace, TEXTS)[PROBS], given)
    _, served = ready_student(workspace, entry, "auto", lambda _words: None)
    np.testing.assert_allclose(served.compute(served.prepare(TEXTS)), given)


def test_a_student_of_an_earlier_version_gives_what_it_gave(workspace: Workspace, entry: Entry, source: Source) -> None:
    said = json.loads((entry.path / FILE).read_text("utf-8"))
    del said["probabilities"]
    (entry.path / FILE).write_text(json.dumps(said), "utf-8")
    assert read_manifest(entry.path).probabilities == UNCALIBRATED
    own = entry.load().predict_proba(TEXTS)
    np.testing.assert_allclose(predict_texts(workspace, TEXTS)[PROBS], own)
    assert run(workspace, source, Path(source.name).with_name("out.csv")).probabilities == UNCALIBRATED


def test_what_is_given_is_said(workspace: Workspace, entry: Entry, source: Source) -> None:
    out = Path(source.name).with_name("out.csv")
    words = [source.name, str(out), "--task", str(workspace.root)]
    assert "; calibrated probabilities" in CliRunner().invoke(predict_command, words).output
    assert json.loads(out.with_name("out.csv.meta.json").read_text("utf-8"))["probabilities"] == CALIBRATED
    write_card(entry.path, entry.manifest)
    assert "scaled with the temperature 2.5" in (entry.path / "README.md").read_text("utf-8")
    write_card(entry.path, replace(entry.manifest, probabilities=UNCALIBRATED))
    assert "Uncalibrated" in (entry.path / "README.md").read_text("utf-8")


def test_a_temperature_changes_no_label() -> None:
    probs: Floats = np.random.default_rng(0).dirichlet([0.3] * 5, 500)
    for temperature in (0.05, 0.5, 3, 20):
        assert (decide(with_temperature(probs, temperature)) == decide(probs)).all()


# Too low


def test_below_the_least_probability_there_is_no_label(workspace: Workspace, entry: Entry, source: Source) -> None:
    given = with_temperature(entry.load().predict_proba(TEXTS), TEMPERATURE).max(axis=1)
    least = float(np.median(given))
    low = int((np.round(given, 6) < least).sum())
    assert 20 < low < 40
    outs = [Path(source.name).with_name(name) for name in ("out.parquet", "out.csv", "out.jsonl")]
    for out in outs:
        done = run(workspace, source, out, min_probability=least)
        assert (done.rows, done.abstained, done.min_probability) == (60, low, least)
        assert sum(done.labels.values()) == 60 - low
    frame = pd.read_parquet(outs[0])
    assert frame["label"].isna().tolist() == (np.round(given, 6) < least).tolist()
    assert frame[PROBS].notna().all(axis=None)
    assert pd.read_csv(outs[1])["label"].isna().sum() == low
    about = json.loads(outs[1].with_name("out.csv.meta.json").read_text("utf-8"))
    assert (about["min_probability"], about["abstained"], about["rows"]) == (least, low, 60)
    lines = [json.loads(line) for line in outs[2].read_text("utf-8").splitlines()]
    assert sum(line["label"] is None for line in lines) == low
    assert predict_texts(workspace, TEXTS, min_probability=least)["label"].isna().sum() == low


def test_the_command_says_how_many_have_no_label(workspace: Workspace, entry: Entry, source: Source) -> None:
    out = Path(source.name).with_name("out.csv")
    words = [source.name, str(out), "--task", str(workspace.root), "--min-probability"]
    said = CliRunner().invoke(predict_command, [*words, "0.999"]).output
    assert "60 below 0.999 have no label" in said
    assert CliRunner().invoke(predict_command, [*words, "1.5"]).exit_code == 2
    with pytest.raises(StudentError, match="between 0 and 1"):
        predict_texts(workspace, TEXTS, min_probability=-1)
    assert find_student(workspace.students).id == entry.id


def test_parts_of_another_least_probability_are_not_kept(
    workspace: Workspace, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "ROWS", 20)
    out = Path(source.name).with_name("out.csv")

    def killed(state: Any) -> None:
        if state.step == "predicting" and state.done == 40:
            raise KeyboardInterrupt

    entry = find_student(workspace.students)
    job = PredictionJob(workspace=workspace, entry=entry, source=source, out=str(out), min_probability=0.9)
    with pytest.raises(KeyboardInterrupt):
        predict(job, progress=killed)
    assert len(list(out.with_name("out.csv.parts").glob("*.parquet"))) == 2
    other = predict(replace(job, min_probability=0.0, out=str(out)))
    assert (other.kept, other.abstained) == (0, 0)
    out.unlink()
    with pytest.raises(KeyboardInterrupt):
        predict(job, progress=killed)
    same = predict(job)
    assert same.kept == 40
    assert same.abstained == run(workspace, source, out.with_name("whole.csv"), min_probability=0.9).abstained > 0


def test_a_worker_of_ray_does_the_same(workspace: Workspace, entry: Entry, source: Source) -> None:
    """What a machine of the cluster runs; the cluster itself is in ``test_predict_ray.py``."""
    here, there = (Path(source.name).with_name(name) for name in ("here.parquet", "there.parquet"))
    run(workspace, source, here, min_probability=0.6)
    job = PredictionJob(workspace=workspace, entry=entry, source=source, out=str(there), min_probability=0.6)
    kept, chosen = kept_of(source, None, ()), ChosenEngine(engine="torch", name="ray, linear")
    plan = RayPlan(
        students=workspace.students,
        student=entry.id,
        chosen=chosen,
        out=there,
        style=output_format(job, chosen, kept),
        key=part_key(job, chosen),
    )
    parts = plan.parts()
    for window in windows.windows(source, "text", kept, lambda _row: None):
        Worker(plan)({"path": [str(_write_window(parts, window))]})
        parts.append(parts.part(window))
    totals = parts.finish()
    assert totals.abstained > 0
    pd.testing.assert_frame_equal(pd.read_parquet(here), pd.read_parquet(there))


# Risk and coverage


def test_risk_against_coverage() -> None:
    sure = np.array([0.99, 0.9, 0.8, 0.70005, 0.7, 0.6, 0.6, 0.6, 0.55, 0.51])
    probs = np.stack([sure, 1 - sure], axis=1)
    gold = np.array([0, 0, 0, 0, 1, 0, 1, 0, 1, 1])
    points = risk_coverage(probs, gold, (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.1))
    assert [(p.threshold, p.rows, p.share, p.accuracy) for p in points] == [
        (0.51, 10, 1.0, 0.6),
        (0.6, 8, 0.8, 0.75),  # three are equal: the share 0.6 has the same threshold
        (0.7, 5, 0.5, 0.8),  # 0.70005 rounded down keeps 0.7 too
        (0.8, 3, 0.3, 1.0),
        (0.99, 1, 0.1, 1.0),
    ]
    assert (points[1].interval.low, points[1].interval.high) == pytest.approx((0.409, 0.929), abs=1e-3)
    assert is_kept(np.array([[0.8999996, 0.1], [0.8999994, 0.1]]), 0.9).tolist() == [True, False]


def test_what_evaluate_says_of_a_threshold_predict_does(workspace: Workspace, entry: Entry, tmp_path: Path) -> None:
    holdout = load_holdout(workspace)
    evaluation = evaluate(workspace, entry, holdout)
    assert len({point.threshold for point in evaluation.coverage}) > 5
    assert evaluation.coverage[0].rows == evaluation.rows
    gold = pd.Series([entry.manifest.labels[i] for i in holdout.gold(entry.manifest.labels)])
    source = tmp_path / "holdout.csv"
    pd.DataFrame({"text": holdout.texts}).to_csv(source, index=False)
    for number, point in enumerate(evaluation.coverage[:6]):
        out = tmp_path / f"{number}.parquet"
        done = run(workspace, Source(str(source)), out, min_probability=point.threshold)
        label = pd.read_parquet(out)["label"]
        assert done.rows - done.abstained == point.rows
        assert (label == gold)[label.notna()].mean() == pytest.approx(point.accuracy)


def test_the_curve_is_in_the_report_the_picture_and_the_terminal(workspace: Workspace, entry: Entry) -> None:
    evaluation = evaluate(workspace, entry, load_holdout(workspace))
    as_json, as_png = write_report(workspace, evaluation)
    assert len(json.loads(as_json.read_text("utf-8"))["coverage"]) == len(evaluation.coverage)
    assert as_png.stat().st_size > 10_000
    said = CliRunner().invoke(evaluate_command, ["--task", str(workspace.root)]).output
    assert f"estimated on these {evaluation.rows} rows" in said
    point = min(evaluation.coverage, key=lambda point: abs(point.share - 0.8))
    assert f"{point.threshold:.4f}" in said
    assert "predict gives calibrated probabilities" in said
    assert evaluation.calibration[entry.id].reliability[0].confidence < 0.7  # those at this temperature


# Truncated


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("encoder")
    tiny = tiny_roberta(root / "tiny", [text for text, _ in sentences(240)])
    made = small_task(root / "task")
    result = train(made, parse_student(str(tiny), learning_rate=5e-3, epochs=1, max_length=LENGTH))
    entry = find_student(made.students)
    assert entry.manifest.probabilities == (CALIBRATED if entry.manifest.temperature else UNCALIBRATED)
    assert 0 < result.truncated == entry.manifest.training["truncated"] < result.rows
    return made


def tokens(entry: Entry, text: str) -> int:
    return len(entry.load().tokenizer(text)["input_ids"])  # type: ignore[attr-defined]


def test_truncated_texts_are_counted(encoder: Workspace, tmp_path: Path) -> None:
    entry = find_student(encoder.students)
    sizes = Counter(tokens(entry, text) for text in TEXTS)
    assert sizes[LENGTH] > 0  # as many as it reads: not truncated
    longer = sum(count for size, count in sizes.items() if size > LENGTH)
    assert 0 < longer < 60
    assert truncated_texts(entry.load(), TEXTS) == longer
    classifier = classifier_on(entry.load(), "encoder", entry.path, "torch")
    assert truncated(classifier.prepare(TEXTS)) == longer
    path = tmp_path / "in.csv"
    pd.DataFrame({"text": TEXTS}).to_csv(path, index=False)
    assert run(encoder, Source(str(path)), tmp_path / "out.parquet").truncated == longer
    words = [str(path), "-", "--task", str(encoder.root)]
    assert f"{longer} texts truncated" in CliRunner().invoke(predict_command, words).stderr
    assert evaluate(encoder, entry, load_holdout(encoder)).truncated > 0


def test_a_tokenizer_that_keeps_nothing_of_what_it_cut_off_is_asked_again(encoder: Workspace) -> None:
    entry = find_student(encoder.students)
    tokenizer = entry.load().tokenizer  # type: ignore[attr-defined]
    made = tokenizer(TEXTS, truncation=True, max_length=LENGTH)
    counted = count_truncated(tokenizer, TEXTS, made, LENGTH)
    made._encodings = None
    assert count_truncated(tokenizer, TEXTS, made, LENGTH) == counted > 0


def test_parts_that_are_kept_count_too(encoder: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS", 20)
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    pd.DataFrame({"text": TEXTS}).to_csv(path, index=False)
    whole = run(encoder, Source(str(path)), tmp_path / "whole.csv").truncated
    entry = find_student(encoder.students)

    def killed(state: Any) -> None:
        if state.step == "predicting" and state.done == 40:
            raise KeyboardInterrupt

    job = PredictionJob(workspace=encoder, entry=entry, source=Source(str(path)), out=str(out))
    with pytest.raises(KeyboardInterrupt):
        predict(job, progress=killed)
    done = predict(job)
    assert (done.kept, done.truncated) == (40, whole)
