"""``tutelage.Project``: every step of a task as a Python call, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from tutelage.core.records import ProgressCallback, unreported
from tutelage.core.workspace import Workspace

if TYPE_CHECKING:
    from threading import Event

    import datasets
    import pandas as pd

    from tutelage.core.settings import Settings
    from tutelage.core.task import Task
    from tutelage.feedback.exchange.curated_set import Exported
    from tutelage.feedback.exchange.review_import import ReviewImport
    from tutelage.feedback.ranking.label_quality import Method
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.loaders.load import LoadResult
    from tutelage.loaders.sources import Source
    from tutelage.loaders.teacher.annotate import AnnotateResult
    from tutelage.loaders.teacher.pilot import Pilot
    from tutelage.loaders.undo import UndoneLoad
    from tutelage.report.page import WrittenReport
    from tutelage.steps.backup import Backup, Restored
    from tutelage.steps.results import (
        AnnotationPlan,
        ChampionChange,
        EvaluationReport,
        Followed,
        Pulled,
        Pushed,
        Ranked,
        Retrained,
        RetrainPlan,
    )
    from tutelage.steps.review.annotators import Annotators
    from tutelage.steps.review.loop import Loop
    from tutelage.training.evaluation.gold_set import GoldSet
    from tutelage.training.evaluation.teacher_comparison import TeacherTable
    from tutelage.training.export.export_student import ExportedStudent
    from tutelage.training.prediction.predict import PredictResult
    from tutelage.training.prediction.serving.serve import Address
    from tutelage.training.students.recipe import Recipe
    from tutelage.training.train import TrainResult
    from tutelage.views.card import RecordCard
    from tutelage.views.standing import NextStep, Status

    Data: TypeAlias = str | PathLike[str] | pd.DataFrame
    """What texts are read from: a file, ``hf://owner/name`` or a frame."""


def _unsaid(_message: str) -> None:
    pass


class Project:
    """A task directory and the steps on it.

    Parameters
    ----------
    directory
        Holds ``task.yaml``; ``Project.init`` makes one.
    progress
        Called with a ``Progress`` while a step takes time.
    say
        Called with what a person may want to know by the way.

    Every step raises a ``tutelage.TutelageError`` for what a user can cause or meet; its text says what
    failed, where, and what to do next.
    """

    def __init__(
        self,
        directory: str | PathLike[str] = ".",
        *,
        progress: ProgressCallback = unreported,
        say: Callable[[str], None] = _unsaid,
    ) -> None:
        self.workspace = Workspace(Path(directory))
        self._progress, self._say = progress, say

    def __repr__(self) -> str:
        return f"Project({str(self.workspace.root)!r})"

    @classmethod
    def init(
        cls,
        directory: str | PathLike[str],
        labels: Sequence[str],
        *,
        question: str = "",
        guidelines: str = "",
        holdout: float = 0.0,
        **options: Any,
    ) -> Self:
        """Make a task directory with ``task.yaml``, ``.env.example`` and ``.gitignore``.

        Parameters
        ----------
        question, guidelines
            What annotators are asked, and how to decide (Markdown); ``push`` wants both.
        holdout
            Share of the records, 0 to below 1, that is kept for measuring.
        options
            Those of ``Project``.

        Raises
        ------
        TaskError
            When there is a task already, or the labels or the share cannot serve.
        """
        from tutelage.steps.new_task import init

        init(Path(directory), labels, question=question, guidelines=guidelines, holdout=holdout)
        return cls(directory, **options)

    @property
    def task(self) -> Task:
        """What ``task.yaml`` says."""
        return self.workspace.task

    @cached_property
    def settings(self) -> Settings:
        """What the environment and the task directory's ``.env`` say."""
        from tutelage.core.settings import load_settings

        return load_settings(self.workspace.root)

    # Texts and votes

    def load(
        self,
        data: Data,
        *,
        text: str = "text",
        id: str = "",
        gold: str = "",
        split: str = "train",
        encoding: str = "utf-8",
    ) -> LoadResult:
        """Load texts; ``text``, ``id`` and ``gold`` name columns. Gold labels are kept apart, for measuring only."""
        return self.import_votes(data, text=text, id=id, gold=gold, split=split, encoding=encoding)

    def import_votes(
        self,
        data: Data,
        *,
        text: str = "text",
        votes: Sequence[str] = (),
        id: str = "",
        given: str = "",
        gold: str = "",
        teacher: str = "teacher",
        split: str = "train",
        encoding: str = "utf-8",
    ) -> LoadResult:
        """Load texts with recorded votes.

        Parameters
        ----------
        data
            A CSV, JSONL or Parquet file, ``hf://owner/name`` (with its ``split``), or a DataFrame.
        text, id, given, gold
            Columns of the texts, their ids (a hash of the text without), labels that the data already has,
            and gold labels.
        votes
            Columns ``LABEL`` or ``LABEL:REASON``, one for each vote; ``vote__*``: each matching column is a
            teacher of its own.
        teacher
            Whose votes these are.
        """
        from tutelage.loaders.load import Columns, load, vote_columns

        source = self._source(data, encoding, split)
        columns = Columns(text=text, id=id, given=given, gold=gold, votes=vote_columns(votes, source, teacher))
        return load(self.workspace, source, columns, progress=self._progress)

    def undo_load(self) -> UndoneLoad:
        """Take back what the last load or import added, as long as nothing was done with it."""
        from tutelage.loaders.undo import undo_load

        return undo_load(self.workspace)

    def _source(self, data: Data, encoding: str, split: str) -> Source:
        from tutelage.loaders.sources import Source

        if isinstance(data, str | PathLike):
            return Source(str(data), encoding, split)
        return Source("DataFrame", frame=data)

    def plan_annotation(self, *, votes: int | None = None) -> AnnotationPlan:
        """What ``annotate`` would ask and cost, at most; asks nothing."""
        from tutelage.loaders.teacher.session import Session
        from tutelage.steps.results import AnnotationPlan

        panels = Session.of(self.workspace, votes=votes).plan()
        costs = [panel.cost for panel in panels if panel.calls]
        cost = None if None in costs else sum(cost for cost in costs if cost)
        return AnnotationPlan(calls=sum(panel.calls for panel in panels), cost=cost, panels=tuple(panels))

    def annotate(
        self,
        *,
        votes: int | None = None,
        budget: float | None = None,
        again: Literal["abstentions", "refused", "cut"] | None = None,
    ) -> AnnotateResult:
        """Ask the task's teachers for the votes that are missing.

        Parameters
        ----------
        votes
            Of each prompt; the task's by default.
        budget
            US dollars that this run may spend.
        again
            Stored votes that are asked for anew, as further attempts: those that name no label, those that the
            endpoint refused, or those that were cut off. Nothing that is stored is changed.
        """
        from tutelage.loaders.teacher.session import Session

        return Session.of(self.workspace, votes=votes).run(budget=budget, again=again, progress=self._progress)

    def pilot_annotation(self, count: int, *, votes: int | None = None, budget: float | None = None) -> Pilot:
        """Ask about ``count`` texts and give back every answer as it was read, and what the rest would cost.

        Parameters
        ----------
        count
            How many texts; they are drawn by chance, and are the same ones each time.
        votes
            Of each prompt; the task's by default.
        budget
            US dollars that this run may spend.
        """
        from tutelage.loaders.teacher.pilot import pilot
        from tutelage.loaders.teacher.session import Session

        return pilot(Session.of(self.workspace, votes=votes), count, budget=budget, progress=self._progress)

    # Argilla

    def up(self, *, port: int | None = None, host: str = "") -> Server:
        """Start the embedded Argilla, or find the one that runs; the server tells how to sign in.

        Parameters
        ----------
        port
            6900 by default; 0 takes a free one.
        host
            127.0.0.1 by default. With another one the owner's password and API key are those of the settings.
        """
        from tutelage.feedback.server.lifecycle import up

        return up(port=port, on_progress=self._say, **self._reach(host))

    def run_argilla(
        self,
        *,
        port: int | None = None,
        host: str = "",
        on_ready: Callable[[Server], None] = lambda _server: None,
    ) -> None:
        """Run the embedded Argilla in the foreground until SIGTERM or SIGINT, its log on standard error."""
        from tutelage.feedback.server.foreground import run_in_foreground

        run_in_foreground(port=port, on_progress=self._say, ready=on_ready, **self._reach(host))

    def _reach(self, host: str) -> dict[str, Any]:
        """Where the embedded Argilla listens, and the credentials that were given for another address than its own."""
        from tutelage.feedback.server.credentials import GivenCredentials

        if not host:
            return {}
        password, key = self.settings.argilla_password, self.settings.argilla_api_key
        if password is None or key is None:
            return {"host": host}
        return {"host": host, "given": GivenCredentials(password.get_secret_value(), key.get_secret_value())}

    def down(self) -> bool:
        """Stop the embedded Argilla; False where none runs. All that is in it stays."""
        from tutelage.feedback.server.lifecycle import down

        return down()

    @property
    def annotators(self) -> Annotators:
        """The people who answer: ``add``, ``list``, ``remove``, ``password``, ``deal``."""
        from tutelage.steps.review.annotators import Annotators

        return Annotators(self._loop)

    def push(self, *, anyway: bool = False) -> Pushed:
        """Bring the dataset on Argilla up to date; only what changed is sent.

        ``anyway``: with the question and guidelines that ``init`` wrote, too; without it they are refused.
        """
        from tutelage.steps.new_task import check_written

        if not anyway:
            check_written(self.workspace)
        with self._loop() as loop:
            return loop.push()

    def rank(
        self,
        *,
        student: str | Sequence[str] = "linear",
        method: Method = "weighted",
        seed: int = 0,
        push: bool = True,
    ) -> Ranked:
        """Rank the suggestions that look wrong.

        Parameters
        ----------
        student
            Whose out-of-sample probabilities, those of several averaged: ``linear``, a model, ``MODEL:frozen``,
            ``champion`` (its recipe, trained anew without the texts that it is asked about), or ``auto``.
        method
            ``weighted`` learns from people's answers; ``crowdlab``, ``cleanlab`` and ``agreement`` do not.
        seed
            Settles ties and folds.
        push
            Fetch new answers from Argilla before, and send the ranks after.
        """
        with self._loop(with_argilla=push) as loop:
            return loop.rank(student=student, method=method, seed=seed)

    def follow_ranking(
        self,
        *,
        stop: Event,
        student: str | Sequence[str] = "linear",
        method: Method = "weighted",
        seed: int = 0,
        on_turn: Callable[[str], None] = _unsaid,
    ) -> Followed:
        """Rank, and rank again while people answer, so that the next card is the most suspect by all that is known.

        A ranking without new probabilities follows every ten answers, and only the records that come next are moved
        on Argilla; every 250 answers all is ranked afresh, as ``rank`` does.

        Parameters
        ----------
        stop
            Ends it.
        student, method, seed
            As for ``rank``.
        on_turn
            Told in words what came of each ranking, and when Argilla has to be waited for.

        Raises
        ------
        TutelageError
            When another process follows this task.
        """
        from tutelage.steps.review.follow_answers import AnswerFollower

        return AnswerFollower(
            workspace=self.workspace,
            open_loop=self._impatient_loop,
            student=student,
            method=method,
            seed=seed,
            progress=self._progress,
            say=on_turn,
            stop=stop,
        ).run()

    @contextmanager
    def _impatient_loop(self, progress: ProgressCallback) -> Iterator[Loop]:
        with self._loop_on(self.workspace, with_argilla=True, waits=(), progress=progress) as loop:
            yield loop

    def pull(self) -> Pulled:
        """Bring people's answers home and freeze them in a snapshot.

        Where nothing was ever pushed and answers came in files, of those alone, without Argilla.
        """
        from tutelage.feedback.answers import came_by_files_only

        _ = self.task  # a wrong task file is said before anything is opened
        with self._loop(with_argilla=not came_by_files_only(self.workspace.db)) as loop:
            return loop.pull()

    def _loop(self, *, with_argilla: bool = True) -> AbstractContextManager[Loop]:
        return self._loop_on(self.workspace, with_argilla)

    @contextmanager
    def _loop_on(
        self,
        workspace: Workspace,
        with_argilla: bool,  # noqa: FBT001
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Iterator[Loop]:
        from tutelage.loaders.ledger import Ledger
        from tutelage.steps.review.loop import Loop
        from tutelage.steps.review.signing_in import sign_in

        _ = self.task  # a wrong task file is said before anything is opened
        with ExitStack() as stack:
            argilla = stack.enter_context(sign_in(self.settings, say=self._say, **options)) if with_argilla else None
            ledger = stack.enter_context(Ledger(workspace.db))
            yield Loop(workspace, ledger, argilla, progress or self._progress)

    def export(self, out: str | PathLike[str], *, format: str = "", force: bool = False) -> Exported:
        """Write the curated set, with the answers as last pulled or imported; never the holdout.

        Parameters
        ----------
        out
            Ends in .csv, .xlsx, .parquet or .jsonl.
        format
            ``autotrain``, ``label-studio`` or ``review`` for what these need.
        force
            Overwrite what is there.
        """
        from tutelage.feedback.exchange.curated_set import write_curated_set

        return write_curated_set(self.workspace, Path(out), format, force=force)

    def import_review(
        self, data: Data, *, annotator: str | Mapping[str, str], replace: bool = False, encoding: str = "utf-8"
    ) -> ReviewImport:
        """Take a person's answers from a file: columns id, label and, where there are, status and reason.

        Parameters
        ----------
        data
            CSV, XLSX, JSONL, a Label Studio export (JSON) or a DataFrame.
        annotator
            Who answered, by the name on Argilla; of several people in an export each name by their id in it.
        replace
            Take also what the same person has answered otherwise on Argilla.
        """
        from tutelage.feedback.exchange.review_import import import_answers

        return import_answers(self.workspace, self._source(data, encoding, "train"), annotator, replacing=replace)

    # Students

    def train(
        self,
        student: str | Recipe = "",
        *,
        snapshot: str | None = None,
        seeds: int = 1,
        report_to: str = "",
        **options: Any,
    ) -> TrainResult:
        """Train a student on a snapshot, without the holdout.

        Parameters
        ----------
        student
            ``linear``, ``setfit``, a Hub name or a path, ``MODEL:frozen``, ``MODEL:setfit`` or ``auto``; the
            task's by default.
        snapshot
            The newest by default.
        seeds
            Train so many students, with ``seed`` and those after it, so that ``evaluate`` can tell what the seed
            changes; the first of them is the result.
        report_to
            ``tensorboard``, ``mlflow`` or ``wandb``, for an encoder's losses; no tracker by default.
        options
            Fields of ``Recipe``, such as ``seed``, ``epochs``, ``learning_rate``, ``batch_size``.
        """
        from tutelage.training.train import train

        return train(
            self.workspace,
            student,
            snapshot=snapshot,
            options=options,
            seeds=seeds,
            report_to=report_to,
            progress=self._progress,
        )

    def evaluate(
        self,
        data: Data | None = None,
        *,
        text: str = "text",
        gold: str = "gold",
        id: str = "",
        votes: Sequence[str] = (),
        student: str = "",
        against: str = "",
        margin: float = 0.02,
        curve: bool = False,
        split: str = "test",
        encoding: str = "utf-8",
    ) -> EvaluationReport:
        """Measure a student, and the teacher beside it, against gold labels on the same rows.

        Parameters
        ----------
        data
            As for ``import_votes``; the task's holdout by default.
        text, gold, id, votes
            Its columns; without votes those that the ledger has for the same texts.
        student, against
            Ids or ``champion``: the champion, else the newest, by default; and a second one.
        margin
            Difference in accuracy up to which two are on par.
        curve
            Also train on parts of the snapshot: the learning curve.
        """
        from tutelage.steps.measure import evaluate_student

        rows = self._gold_set(data, text, gold, id, votes, split, encoding)
        return evaluate_student(
            self.workspace, rows, student, against=against, margin=margin, curve=curve, progress=self._progress
        )

    def compare_teachers(
        self,
        data: Data | None = None,
        *,
        text: str = "text",
        gold: str = "gold",
        id: str = "",
        votes: Sequence[str] = (),
        split: str = "test",
        encoding: str = "utf-8",
    ) -> TeacherTable:
        """Measure the teachers against gold labels: each prompt and each number of votes."""
        from tutelage.training.evaluation.teacher_comparison import compare_teachers

        return compare_teachers(self.workspace, self._gold_set(data, text, gold, id, votes, split, encoding))

    def _gold_set(
        self, data: Data | None, text: str, gold: str, id_: str, votes: Sequence[str], split: str, encoding: str
    ) -> GoldSet:
        from tutelage.training.evaluation.gold_set import GoldColumns, load_gold_set, load_holdout

        if data is None:
            return load_holdout(self.workspace)
        columns = GoldColumns(text=text, gold=gold, id=id_, votes=tuple(votes))
        rows = load_gold_set(self.workspace, self._source(data, encoding, split), columns)
        if rows.rejected:
            self._say(f"{rows.rejected} rows of {rows.name} could not be used; see {self.workspace.rejects}")
        return rows

    def promote(self, student: str) -> ChampionChange:
        """Make a student the champion: the one that ``predict`` takes."""
        from tutelage.steps.results import ChampionChange
        from tutelage.training.registry import champion_id, promote_student

        before = champion_id(self.workspace.students)
        entry = promote_student(self.workspace.students, student, why="promote")
        return ChampionChange(champion=entry.id, before=before)

    def rollback(self) -> ChampionChange:
        """Make the champion before this one the champion again."""
        from tutelage.steps.results import ChampionChange
        from tutelage.training.registry import champion_id, rollback_champion

        before = champion_id(self.workspace.students)
        return ChampionChange(champion=rollback_champion(self.workspace.students).id, before=before)

    def predict(
        self, texts: Sequence[str], *, student: str = "", engine: str = "auto", min_probability: float = 0.0
    ) -> pd.DataFrame:
        """A label and a probability for each label, for texts at hand.

        Returns
        -------
        One row a text, in the order and with the index of ``texts`` where that is a Series; columns: label, None
        where its probability is below ``min_probability``, and ``prob_LABEL`` for each label in the task's order.
        """
        from tutelage.training.prediction.texts import predict_texts

        return predict_texts(
            self.workspace, texts, student=student, engine=engine, min_probability=min_probability, say=self._say
        )

    def predict_file(
        self,
        data: str | PathLike[str],
        out: str | PathLike[str],
        *,
        text: str = "text",
        columns: Sequence[str] | None = None,
        student: str = "",
        engine: str = "auto",
        min_probability: float = 0.0,
        split: str = "train",
        encoding: str = "utf-8",
        force: bool = False,
    ) -> PredictResult:
        """The same for a file of any size; killed and run again it goes on.

        Parameters
        ----------
        data
            CSV, JSONL, Parquet, ``hf://owner/name``, or ``-``: standard input.
        out
            Ends in .parquet, .csv or .jsonl, or is ``-``: standard output.
        text
            Column of the texts.
        columns
            Those of ``data`` that ``out`` has too, before the label and its probabilities; all by default.
        min_probability
            A text whose most probable label has less gets none; ``evaluate`` says what that leaves.
        force
            Replace ``out`` if it is there.
        """
        from tutelage.training.prediction.job import PredictionJob
        from tutelage.training.prediction.predict import predict
        from tutelage.training.registry import find_student

        job = PredictionJob(
            workspace=self.workspace,
            entry=find_student(self.workspace.students, student),
            source=self._source(data, encoding, split),
            out=str(out),
            text=text,
            columns=None if columns is None else tuple(columns),
            force=force,
            min_probability=min_probability,
        )
        return predict(job, engine, say=self._say, progress=self._progress)

    def serve(
        self,
        *,
        student: str = "",
        engine: str = "auto",
        host: str = "127.0.0.1",
        port: int = 8080,
        max_body: int = 4_000_000,
        max_texts: int = 256,
        max_length: int = 100_000,
        on_ready: Callable[[Address], None] = lambda _address: None,
    ) -> None:
        """Answer over HTTP like the Hub's text-classification pipeline, until interrupted.

        Parameters
        ----------
        port
            0 takes a free one.
        max_body, max_texts, max_length
            Bytes and texts of a request, characters of a text.
        on_ready
            Called when clients may connect.
        """
        from tutelage.training.prediction.serving.pipeline_request import RequestLimits
        from tutelage.training.prediction.serving.serve import serve_student

        limits = RequestLimits(body=max_body, texts=max_texts, length=max_length)
        where = (host, port)
        serve_student(
            self.workspace, where, student=student, engine=engine, limits=limits, say=self._say, ready=on_ready
        )

    def export_student(self, student: str, out: str | PathLike[str], *, format: str = "onnx") -> ExportedStudent:
        """Write a student into a new folder that runs without tutelage; its ``README.md`` says how.

        Parameters
        ----------
        format
            ``onnx``, ``openvino`` or ``safetensors``; a linear student has none of them.
        """
        from tutelage.training.export.export_student import export_student
        from tutelage.training.registry import find_student

        return export_student(find_student(self.workspace.students, student), Path(out), format)

    def push_student_to_hub(self, repository: str, *, student: str = "", private: bool = True) -> str:
        """Upload a student to the Hugging Face Hub; returns its address."""
        from tutelage.training.hub.upload import push_student
        from tutelage.training.registry import find_student

        return push_student(find_student(self.workspace.students, student), repository, private=private)

    def push_snapshot_to_hub(self, repository: str, *, snapshot: str | None = None, private: bool = True) -> str:
        """Upload a snapshot to the Hugging Face Hub, without annotators' names; returns its address."""
        from tutelage.feedback.snapshot import load_snapshot
        from tutelage.training.hub.upload import push_snapshot

        found = load_snapshot(self.workspace.snapshots, snapshot)
        return push_snapshot(found, self.task, repository, private=private)

    # The periodic job, and safety copies

    def retrain(self, *, another_argilla: bool = False, time_limit: float | None = None) -> Retrained:
        """One run of the periodic job: new texts and answers in, a challenger trained, the better one champion.

        Loads the task's ``sources``, pulls, and where at least ``retrain.min_new`` answers are new, trains a student
        with the champion's recipe and compares the two on the holdout. Whatever came of it is a line of
        ``history.jsonl``; an expected failure is an outcome and no exception.

        Parameters
        ----------
        another_argilla
            Go on although people answer in another dataset than last time.
        time_limit
            Seconds after which the run ends, failed, between two steps or at a checkpoint of the training; the next
            run goes on.
        """
        from tutelage.steps.retrain import retrain

        return retrain(
            self.workspace,
            partial(self._loop_on, self.workspace),
            another_argilla=another_argilla,
            time_limit=time_limit,
            progress=self._progress,
        )

    def plan_retrain(self, *, another_argilla: bool = False) -> RetrainPlan:
        """What ``retrain`` would do now; nothing is written and no teacher is asked."""
        from tutelage.steps.dry_run import plan_retrain

        return plan_retrain(self.workspace, self._loop_on, another_argilla=another_argilla, progress=self._progress)

    def retrain_every(
        self,
        every: float,
        *,
        on_run: Callable[[dict[str, Any]], None],
        stop: Event,
        another_argilla: bool = False,
        time_limit: float | None = None,
    ) -> None:
        """Run the periodic job on a schedule, until ``stop`` is set.

        A run that is due begins when nobody has answered for some minutes, and is put off for two hours at most.
        Each runs in a process of its own, and one that fails is made good by the next.

        Parameters
        ----------
        every
            Seconds from the beginning of one run to that of the next; the last line of ``history.jsonl`` counts.
        on_run
            Called with what came of each run: its line of ``history.jsonl``.
        another_argilla, time_limit
            As for ``retrain``; the first only for the first run.

        Raises
        ------
        TaskError
            When the task file is missing or wrong at the beginning; later that is a failed run.
        """
        from tutelage.core.task import load_task
        from tutelage.steps.schedule import Schedule

        load_task(self.workspace.root)
        limit = [] if time_limit is None else ["--time-limit", f"{time_limit:.3f}s"]
        Schedule(
            self.workspace,
            every,
            activity=self._activity,
            options=limit,
            once=["--another-argilla"] if another_argilla else [],
            on_run=on_run,
            stop=stop,
        ).run()

    def _activity(self) -> str:
        from tutelage.feedback.answers import was_pushed

        now = Project(self.workspace.root)  # task file and settings may be others by now
        with now._loop(with_argilla=was_pushed(self.workspace.db)) as loop:
            return loop.dataset().activity()

    def backup(self, file: str | PathLike[str], *, force: bool = False) -> Backup:
        """Write the task directory and the embedded Argilla's data to one archive, while people work.

        Parameters
        ----------
        file
            Ends in .tar.gz. It holds passwords and keys; only its owner can read it.
        force
            Replace a file that is there.
        """
        from tutelage.feedback.server.installation import data_home
        from tutelage.steps.backup import backup

        argilla = None if self.settings.argilla_api_url else data_home() / "argilla"
        return backup(self.workspace, Path(file), argilla, force=force)

    def restore(self, file: str | PathLike[str]) -> Restored:
        """Write this task directory, which must be empty, from a backup.

        The embedded Argilla's data are restored too where there are none.
        """
        from tutelage.feedback.server.installation import data_home
        from tutelage.steps.backup import restore

        return restore(Path(file), self.workspace.root, data_home() / "argilla")

    # What there is

    def status(self) -> Status:
        """Where the task stands, and what comes next.

        Read from the task's own files; Argilla is asked, briefly, how many answers it has where it is up.
        """
        from tutelage.views.status import status

        return status(self.workspace, self.settings)

    def report(self, out: str | PathLike[str] = "") -> WrittenReport:
        """Write one HTML page for a team lead, and give its figures; the champion is measured on the holdout.

        Nothing is trained, and nothing is asked of Argilla or a teacher.

        Parameters
        ----------
        out
            A file; ``reports/`` of the task directory by default, under the time's name. With ``-`` nothing is
            written, and the result holds the page.
        """
        from tutelage.report.page import write_page

        return write_page(self.workspace, str(out), progress=self._progress)

    def step_after(self, *words: str) -> tuple[NextStep, str | None]:
        """The step that comes after a command, such as ``"push"``, and the link of the queue where there is one."""
        from tutelage.views.status import step_after

        return step_after(self.workspace, self.settings, words)

    def records(self) -> pd.DataFrame:
        """One row a record: id, text, given, suggestion, agreement, tie, held_out."""
        from tutelage.views.frames import records

        return records(self.workspace)

    def votes(self) -> pd.DataFrame:
        """One row a vote: id, teacher, prompt, vote, label, reason, answer."""
        from tutelage.views.frames import votes

        return votes(self.workspace)

    def suspects(self, most: int | None = None, *, pending: bool = False) -> pd.DataFrame:
        """The ranked records, the most suspect first; with ``pending`` only those that people have not settled.

        Columns: id, text, suggestion, label_quality, suspect_rank, why, agreement, reasons, status, link.
        """
        from tutelage.views.frames import suspects

        return suspects(self.workspace, most, pending=pending, server=self._server_url())

    def show(self, id: str) -> RecordCard:
        """All that is known about one record, but for its gold label."""
        from tutelage.views.card import show

        return show(self.workspace, id, server=self._server_url())

    def _server_url(self) -> str:
        """Where the task's Argilla is; empty where none is known. Nothing is asked of it."""
        from tutelage.core.settings import split_userinfo
        from tutelage.feedback.server.lifecycle import find_server

        if self.settings.argilla_api_url:
            return split_userinfo(self.settings.argilla_api_url)[0].rstrip("/")
        server = find_server()
        return server.url if server else ""

    def responses(self) -> pd.DataFrame:
        """One row a response.

        Columns: id, annotator, status, label, reason, reason_by, shown, updated_at, state, user_id, dataset.
        """
        from tutelage.views.frames import responses

        return responses(self.workspace)

    def curated(self, snapshot: str | None = None) -> pd.DataFrame:
        """The records of a snapshot with the labels to train on: id, text, label, source, status and more."""
        from tutelage.views.frames import curated

        return curated(self.workspace, snapshot)

    def curated_dataset(self, snapshot: str | None = None) -> datasets.Dataset:
        """The labelled records of a snapshot as a ``datasets.Dataset``: id, text, label (ClassLabel), source."""
        from tutelage.views.frames import curated_dataset

        return curated_dataset(self.workspace, snapshot)

    def students(self) -> pd.DataFrame:
        """One row a student: id, kind, model, rows, snapshot, created_at, champion."""
        from tutelage.views.frames import students

        return students(self.workspace)
