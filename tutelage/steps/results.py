"""What the steps on Argilla and the measuring steps give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    pushed
        What was sent; None without Argilla.
    """

    ranked: int
    queue: int
    pushed: Pushed | None


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
