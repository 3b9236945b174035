"""What the steps on Argilla, the measuring steps and the periodic job give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tutelage.training.measures.drift import PredictionDrift
from tutelage.training.measures.gate import GateDecision

if TYPE_CHECKING:
    from tutelage.core.records import RankedBy
    from tutelage.loaders.teacher.plan import PlannedPanel
    from tutelage.training.evaluation.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class AnnotationPlan:
    """What ``annotate`` would ask, at most.

    Parameters
    ----------
    calls
        Requests to the teachers' models.
    cost
        US dollars; None where a price is missing.
    panels
        The same for each teacher and prompt.
    """

    calls: int
    cost: float | None
    panels: tuple[PlannedPanel, ...]


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What was sent to Argilla.

    Parameters
    ----------
    sent, metadata_only, unchanged
        Records sent whole, records of which only metadata changed, records that were up to date.
    rejected
        Records that Argilla cannot take: by id, why; ``rejects.jsonl`` has them too.
    dataset, created
        The dataset's uuid, and whether it was made now.
    link
        Opens the annotation page, the most suspect record first.
    dealt
        Whether the queue is dealt: this link shows everybody's records then, and ``annotators.list`` has each one's.
    """

    sent: int
    metadata_only: int
    unchanged: int
    rejected: Mapping[str, str]
    dataset: str
    created: bool
    link: str
    dealt: bool


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What ``rank`` did.

    Parameters
    ----------
    ranked
        Records that nobody has settled yet.
    queue
        How many of them have a suspect rank on Argilla.
    by
        What the ranking was made of.
    pushed
        What was sent; None without Argilla.
    students
        Whose out-of-sample probabilities were averaged.
    why
        Why ``auto`` took these; else empty.
    """

    ranked: int
    queue: int
    by: RankedBy
    pushed: Pushed | None
    students: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What ``rank --follow`` has done.

    Parameters
    ----------
    answers
        New ones that it took into account.
    turns, moved
        How many times it put the next records in order, and how many got another place by that.
    rankings
        How many times it ranked everything afresh, the first time included.
    seconds
        How long it ran.
    """

    answers: int = 0
    turns: int = 0
    moved: int = 0
    rankings: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What people have answered, and the snapshot that it makes.

    Parameters
    ----------
    snapshot, new, path
        The snapshot's id, whether its content is new, and its folder.
    records, by_source, status, tied
        Of the snapshot: how many records; how many labels are from human, given, teacher; how many
        records are pending, reviewed, discarded, tied; the ids of the tied ones.
    by_status, by_annotator
        Responses by status, and finished ones by the annotator's name.
    by_deleted_user
        Finished responses of deleted accounts by the annotator's name; they count.
    from_files
        Those of them that were imported from files.
    withdrawn
        Responses that were there before and are gone; they do not count.
    on_held_out
        Responses on records that are held out now; not trained on.
    unknown_records
        Records of the dataset that ``task.db`` does not have.
    other_datasets
        Responses kept from other datasets, by the dataset's uuid.
    """

    snapshot: str
    new: bool
    path: str
    records: int
    by_source: Mapping[str, int]
    status: Mapping[str, int]
    tied: tuple[str, ...]
    by_status: Mapping[str, int]
    by_annotator: Mapping[str, int]
    by_deleted_user: Mapping[str, int]
    from_files: int
    withdrawn: int
    on_held_out: int
    unknown_records: int
    other_datasets: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What was measured, and the files that hold it: JSON and a PNG."""

    evaluation: Evaluation
    report: Path
    figure: Path


@dataclass(frozen=True, kw_only=True)
class ChampionChange:
    """The champion now, and the one before; equal where nothing changed, None where there was none."""

    champion: str
    before: str | None


Outcome = Literal["promoted", "kept", "nothing_new", "busy", "no_holdout", "failed"]


@dataclass(kw_only=True)
class Retrained:
    """What a run of the periodic job did; a line of ``history.jsonl``.

    Parameters
    ----------
    outcome, message
        What came of it, and the same in one line.
    at, took_s
        When it began, in ISO 8601, and the seconds that it took.
    new_texts, new_answers
        Records that were loaded; people's answers since the snapshot that was last judged.
    server, dataset, activity, filed
        Where people answer, when Argilla last saw an answer there, and when the last one came in a file.
    snapshot, challenger, champion
        What was trained on, what was trained, and the champion afterwards.
    gate
        What decided; None where nothing was compared.
    gold, decisions
        A hash of the holdout's rows, and how often they have decided, this time included.
    drift
        The predictions of the champion at the beginning, on texts that came after its snapshot; None without one.
    proposed
        Texts without a vote for which the champion now suggests a label.
    sent
        Whether what is new went to Argilla and was ranked; the next run makes it good.
    report
        The page for a team lead, which is written where a student was trained.
    removed
        What ``retrain.keep`` allowed to delete.
    problems
        What did not work and did not end the job.
    """

    outcome: Outcome = "failed"
    message: str = ""
    at: str = ""
    took_s: float = 0.0
    new_texts: int = 0
    new_answers: int = 0
    server: str = ""
    dataset: str = ""
    activity: str = ""
    filed: str = ""
    snapshot: str | None = None
    challenger: str | None = None
    champion: str | None = None
    gate: GateDecision | None = None
    gold: str = ""
    decisions: int = 0
    drift: PredictionDrift | None = None
    proposed: int = 0
    sent: bool = False
    report: str = ""
    removed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class RetrainPlan:
    """What a run of the periodic job would do.

    Parameters
    ----------
    new_texts, new_answers
        Records that it would load; people's answers since the snapshot that was last judged.
    activity
        Whether answers came since the last run, on Argilla or in a file.
    trains
        Whether it would train a challenger.
    champion
        What that would be compared with; None: it would become the first.
    removes
        What it would delete, where the champion stays.
    busy
        Whether a run is at work now.
    problems
        What does not work and would not end the run.
    message
        The same in one line.
    """

    new_texts: int
    new_answers: int
    activity: bool
    trains: bool
    champion: str | None
    removes: list[str]
    busy: bool
    problems: list[str]
    message: str
