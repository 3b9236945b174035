"""How many labels are right, before and after people's review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutelage.core.records import Record
from tutelage.core.task import Task
from tutelage.feedback.curate import Curated, source_of
from tutelage.loaders.consensus import suggest
from tutelage.report.figures.shares import Share, share_of
from tutelage.training.evaluation.gold_set import GoldRow, each_text_once
from tutelage.training.measures.comparison import Comparison, compare
from tutelage.training.measures.metrics import Interval


@dataclass(frozen=True)
class BeforeAfter:
    """Right labels among the records with gold outside the holdout, and the paired comparison, after minus before."""

    before: Share
    after: Share
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class LabelAccuracy:
    """The accuracy of the labels; each is None where its gold labels are missing.

    Parameters
    ----------
    on_gold
        Measured on the records with gold outside the holdout, before and after the review.
    on_holdout
        Suggestions that are right in the holdout, which nobody reviewed: an estimate of all labels before.
    after, after_interval
        The same, plus the share of the labels that people corrected; supposes that people are right. None where
        they changed so many that this comes to more than all: then the two do not fit together.
    corrected
        Records whose label people changed, of those with a suggestion that are not held out.
    """

    on_gold: BeforeAfter | None
    on_holdout: Share | None
    after: float | None
    after_interval: Interval | None
    corrected: Share | None


def label_accuracy(
    task: Task,
    items: Sequence[Curated],
    gold: Mapping[str, str],
    holdout: Sequence[Record],
    holdout_gold: Mapping[str, str],
) -> LabelAccuracy:
    """From the curated records and the gold outside the holdout, the holdout's records and their gold.

    Equal texts count once, as in ``evaluate``.

    What a student suggests is no label before people answer, and in the holdout no student suggests: left out.
    """
    suggested = [item for item in items if item.suggestion and source_of(item.suggestion) != "student"]
    changed = sum(item.status == "reviewed" and item.label != _suggested(item) for item in suggested)
    corrected, on_holdout = share_of(changed, len(suggested)), _on_holdout(holdout, holdout_gold)
    after = on_holdout.value + corrected.value if on_holdout and corrected else None
    is_known = after is not None and after < 1
    return LabelAccuracy(
        on_gold=_on_gold(task, suggested, gold),
        on_holdout=on_holdout,
        after=after if is_known else None,
        after_interval=_shifted(on_holdout.interval, corrected.value)
        if is_known and on_holdout and corrected
        else None,
        corrected=corrected,
    )


def _suggested(item: Curated) -> str | None:
    return item.suggestion.label if item.suggestion else None


def _shifted(interval: Interval, by: float) -> Interval:
    return Interval(min(1.0, interval.low + by), min(1.0, interval.high + by))


def _on_holdout(records: Sequence[Record], gold: Mapping[str, str]) -> Share | None:
    once = _once(records, gold)
    pairs = [(found.label, gold[record.id]) for record in records if record.id in once and (found := suggest(record))]
    return share_of(sum(one == other for one, other in pairs), len(pairs))


def _once(records: Sequence[Record], gold: Mapping[str, str]) -> set[str]:
    """The ids of one record with gold of each text."""
    rows = [GoldRow(id=one.id, text=one.text, gold=gold[one.id], votes=one.votes) for one in records if one.id in gold]
    return {row.id for row in each_text_once(rows)[0]}


def _on_gold(task: Task, items: Sequence[Curated], gold: Mapping[str, str]) -> BeforeAfter | None:
    known = [item for item in items if item.label is not None]
    once = _once([item.record for item in known], gold)
    rows = [item for item in known if item.record.id in once]
    right = task.indices(gold[item.record.id] for item in rows)
    first, last = (task.indices(labels) for labels in (map(_suggested, rows), [item.label for item in rows]))
    before, after = (share_of(int((labels == right).sum()), len(rows)) for labels in (first, last))
    if before is None or after is None:
        return None
    return BeforeAfter(before, after, compare(right, last, first, len(task.label_names)))
