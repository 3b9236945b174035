"""The top of the report: what it comes to in a few sentences, and the figures that matter most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tutelage.report.figures.collect import Report
from tutelage.report.figures.economy import CORPUS
from tutelage.report.wording import amount, count, percent, percent_range, points, rounded
from tutelage.training.evaluation.evaluate import CONSENSUS
from tutelage.training.measures.comparison import Comparison
from tutelage.training.measures.metrics import Scores

_VERDICTS = {
    "better": "significantly more often right than the teacher",
    "worse": "significantly less often right than the teacher",
    "on par": "on par with the teacher",
    "undecided": "not measurably different from the teacher",
}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One figure with its interval, what it is, and on how many rows; ``value`` is a dash where it is missing."""

    name: str
    value: str
    interval: str
    about: str


def sentences(report: Report) -> tuple[str, ...]:
    """What there is, what people did, a warning where that made labels worse, and what it costs."""
    return (_first(report), _second(report), *_warnings(report), _third(report))


def _first(report: Report) -> str:
    asked, student = report.asked, report.student
    if not asked.texts:
        return "There are no texts yet: bring some with tutelage load."
    if student is None:
        return f"There are {count(asked.texts)} texts with {count(asked.votes)} votes of teachers, and no student yet."
    name = f"The {'champion' if student.is_champion else 'newest student'}, {student.id},"
    if student.evaluation is None:
        return f"{name} has not been measured on gold labels."
    scores = student.evaluation.scores[student.id]
    within = f"95 % interval {percent_range(scores.accuracy_interval)}"
    said = f"{name} is right on {percent(scores.accuracy)} of {count(scores.rows)} held-out texts ({within})"
    against = student.evaluation.comparisons.get(CONSENSUS)
    return f"{said}, {_VERDICTS[against.verdict]}." if against else f"{said}."


def _second(report: Report) -> str:
    review = report.review
    if not review.answers:
        return "People have reviewed nothing so far."
    order = ", the most doubtful first" if review.ranked else ""
    said = f"People reviewed {count(review.reviewed)} of {count(review.texts)} texts{order}"
    if review.changed is None:
        return f"{said}."
    return f"{said}, and changed {count(review.changed.hits)} of the {count(review.changed.rows)} suggestions they saw."


def _warnings(report: Report) -> Iterator[str]:
    found = report.quality.on_gold
    if found and found.comparison.accuracy_difference_interval[1] < 0:
        yield (
            f"The review made labels worse: of {count(found.after.rows)} texts with gold labels "
            f"{percent(found.before.value)} were right before and {percent(found.after.value)} are now. "
            "Look at the newest answers, and ask who gave them."
        )


def _third(report: Report) -> str:
    money = report.money
    if money.student is None or money.student.usd is None:
        return "What the student saves can be said once there is one: tutelage train."
    own = f"Labelling {count(CORPUS)} texts with the student costs about {_usd(money.student.usd)} of computing"
    if money.llm.usd is None:
        return f"{own}."
    said = f"{own}, against {_usd(money.llm.usd)} for an LLM"
    if money.break_even is None:
        return f"{said}."
    return (
        f"{said}; with all that it took so far it is the cheaper way from about {rounded(money.break_even)} texts on."
    )


def headlines(report: Report) -> tuple[Headline, ...]:
    """Four figures; one that is missing says how it is got."""
    return (_student(report), _difference(report), _labels(report), _money(report))


def _scores(report: Report) -> Scores | None:
    found = report.student and report.student.evaluation
    return found.scores[found.student] if found else None


def _student(report: Report) -> Headline:
    scores = _scores(report)
    if scores is None:
        return _missing("Student's accuracy", "needs a student and a holdout with gold labels")
    about = f"on {count(scores.rows)} held-out texts; Wilson interval"
    return _headline("Student's accuracy", percent(scores.accuracy), percent_range(scores.accuracy_interval), about)


def _difference(report: Report) -> Headline:
    name = "Student minus teacher"
    found: Comparison | None = None
    if report.student and report.student.evaluation:
        found = report.student.evaluation.comparisons.get(CONSENSUS)
    if found is None:
        return _missing(name, "needs votes on held-out texts with gold labels")
    low, high = found.accuracy_difference_interval
    about = f"accuracy on the same {count(found.rows)} texts; Tango's paired interval"
    return _headline(name, f"{points(found.accuracy_difference)} points", f"{points(low)} to {points(high)}", about)


def _labels(report: Report) -> Headline:
    quality, name = report.quality, "Labels right after review"
    if quality.on_gold:
        after, before = quality.on_gold.after, quality.on_gold.before
        about = f"of {count(after.rows)} with gold labels, {percent(before.value)} before; Wilson interval"
        return _headline(name, percent(after.value), percent_range(after.interval), about)
    if quality.after is not None and quality.after_interval and quality.on_holdout:
        about = f"an estimate, {percent(quality.on_holdout.value)} before; see below what it supposes"
        return _headline(name, percent(quality.after), percent_range(quality.after_interval), about)
    return _missing(name, "needs votes on texts with gold labels")


def _money(report: Report) -> Headline:
    money, name = report.money, f"Cost of {count(CORPUS)} texts"
    if money.student is None or money.student.usd is None:
        return _missing(name, "needs a student")
    llm = "an LLM's price is unknown" if money.llm.usd is None else f"{_usd(money.llm.usd)} with an LLM"
    return _headline(name, _usd(money.student.usd), llm, "computing only; one machine, measured now")


def _usd(span: tuple[float, float]) -> str:
    return amount("usd", span[0] * CORPUS, span[1] * CORPUS)


def _headline(name: str, value: str, interval: str, about: str) -> Headline:
    return Headline(name=name, value=value, interval=interval, about=about)


def _missing(name: str, about: str) -> Headline:
    return _headline(name, "\N{EN DASH}", "", about)


def gaps(report: Report) -> Iterator[str]:
    """What keeps a part of the report from being complete, a line each."""
    if report.problem:
        yield report.problem
    if report.student and report.student.unmeasured:
        left_out = report.student.unmeasured
        yield f"Not in the learning curve: {len(left_out)} students; tutelage evaluate --student {left_out[0]}"
