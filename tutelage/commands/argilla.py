"""``up``, ``down``, ``push``, ``rank``, ``pull``: the part of the loop that people work in."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.terminal.console import Console, command
from tutelage.commands.terminal.help import student_kinds

if TYPE_CHECKING:
    from tutelage.core.records import RankedBy
    from tutelage.feedback.ranking.label_quality import Method
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.project import Project
    from tutelage.steps.results import Pulled, Pushed, Ranked


@command("up", example="tutelage up --open")
@click.option("--open", "opens", is_flag=True, help="Open the page in the default browser.")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port (default 6900; 0: a free one).")
@click.option(
    "--host",
    default="",
    metavar="ADDRESS",
    help="Address to listen on (default 127.0.0.1); another one needs ARGILLA_PASSWORD and ARGILLA_API_KEY.",
)
@click.option("--foreground", is_flag=True, help="Run until interrupted, with the server's log on standard error.")
def up_command(console: Console, *, port: int | None, host: str, foreground: bool, opens: bool) -> None:
    """Start the embedded Argilla, or find the one that runs."""

    def announce(server: Server) -> None:
        words = f"Argilla is at {server.url}" if host else sign_in_words(server)
        console.result({"url": server.url, "annotator": server.annotator, "owner": server.owner}, words)
        if opens and not open_page(server.url):
            console.say(f"There is no browser to open here; open this page in one: {server.url}")

    if foreground:
        console.project.run_argilla(port=port, host=host, on_ready=announce)
    else:
        announce(console.project.up(port=port, host=host))


def open_page(url: str) -> bool:
    """Open a page in the default browser; False where there is none."""
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def sign_in_words(server: Server) -> str:
    """How a person signs in."""
    return (
        f"Argilla is at {server.url}\n"
        f"  annotators sign in as {server.annotator} with password {server.annotator_password}\n"
        f"  its owner is {server.owner} with password {server.owner_password}"
    )


@command("down", example="tutelage down")
def down_command(console: Console) -> None:
    """Stop the embedded Argilla; all that is in it stays."""
    stopped = console.project.down()
    console.result({"stopped": stopped}, "Argilla is stopped" if stopped else "no Argilla was running")


@command("push", example="tutelage push --task news")
@click.option("--anyway", is_flag=True, help="Push even if question and guidelines are still those that init wrote.")
def push_command(console: Console, *, anyway: bool) -> None:
    """Bring the dataset on Argilla up to date; only what changed is sent."""
    pushed = console.project.push(anyway=anyway)
    console.result(_push_data(pushed), f"{_push_words(console, pushed)}\n{_link_words(pushed)}")


def _push_data(pushed: Pushed) -> dict[str, Any]:
    return asdict(pushed) | {"rejected": len(pushed.rejected)}


def _link_words(pushed: Pushed) -> str:
    own = "\nThe queue is dealt; this link shows all of it, and tutelage annotators list has each one's own"
    return f"review: {pushed.link}" + own * pushed.dealt


def _push_words(console: Console, pushed: Pushed) -> str:
    rejects = console.project.workspace.rejects
    rejected = f", {len(pushed.rejected)} rejected (see {rejects})" if pushed.rejected else ""
    return f"{pushed.sent} sent, {pushed.metadata_only} metadata only, {pushed.unchanged} unchanged{rejected}"


@command("rank", example="tutelage rank --out ranked.csv")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the records that wait for people, in order (CSV or Parquet).",
)
@click.option(
    "--student",
    "students",
    multiple=True,
    default=["linear"],
    show_default=True,
    shell_complete=student_kinds,
    help="Student that gives out-of-sample probabilities: linear, a Hub name or path, MODEL:frozen, champion (its"
    " recipe), auto (what is affordable here); several are averaged.",
)
@click.option(
    "--method",
    type=click.Choice(["weighted", "crowdlab", "cleanlab", "agreement"]),
    default="weighted",
    show_default=True,
    help="What finds the suspects; weighted learns from people's answers, the others do not.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the folds and of the order of ties.")
@click.option("--no-push", is_flag=True, help="Use task.db alone: ask Argilla nothing, send it nothing.")
@click.option("--follow", is_flag=True, help="Go on ranking while people answer, until Ctrl+C or SIGTERM.")
def rank_command(
    console: Console,
    *,
    students: tuple[str, ...],
    method: Method,
    no_push: bool,
    out: Path | None,
    seed: int,
    follow: bool,
) -> None:
    """Rank the suggestions that look wrong, the worst first."""
    if out and out.suffix.lower() not in {".csv", ".parquet"}:
        raise click.UsageError(f"--out {out}: ends in neither .csv nor .parquet")
    if follow and (no_push or out):
        raise click.UsageError(f"--follow sends what it ranks to Argilla; leave out {'--out' if out else '--no-push'}")
    if follow:
        _follow(console, student=students, method=method, seed=seed)
        return
    project = console.project
    ranked = project.rank(student=students, method=method, seed=seed, push=not no_push)
    if out:
        _write_ranks(project, out)
    data: dict[str, Any] = {"ranked": ranked.ranked, "queue": ranked.queue, "ranked_by": asdict(ranked.by)}
    data |= {"students": ranked.students, "why": ranked.why}
    words = f"{_rank_words(ranked)}\n{ranked_by_words(ranked.by)}"
    if ranked.why:
        words += f"\nauto: {ranked.why}"
    if ranked.pushed:
        data |= _push_data(ranked.pushed)
        words += f"\n{_push_words(console, ranked.pushed)}\n{_link_words(ranked.pushed)}"
    console.result(data, words)


def _follow(console: Console, **options: Any) -> None:
    """Until SIGTERM or SIGINT, which also the first process of a container gets only if it asks for them."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    console.say("following people's answers; SIGTERM or Ctrl+C ends this")
    done = console.project.follow_ranking(stop=stop, on_turn=console.say, **options)
    words = f"followed for {timedelta(seconds=round(done.seconds))}: {done.answers} answers, {done.turns} times put in "
    console.result(done, f"{words}order, {done.moved} records moved, {done.rankings} times ranked afresh")


def _rank_words(ranked: Ranked) -> str:
    words = f"{ranked.ranked} records ranked"
    if ranked.queue == ranked.ranked:
        return f"{words}: each has a place in the queue" if ranked.ranked else f"{words}: all are settled"
    left = f"the other {ranked.ranked - ranked.queue} follow by label quality"
    return f"{words}: the worst {ranked.queue} have a place in the queue, {left}"


def ranked_by_words(by: RankedBy) -> str:
    """What a ranking was made of."""
    if by.student_worth is None:
        return f"by {by.method}"
    worth = f"{by.student_worth:.2f}".removeprefix("0")
    learned = f"; learned from {by.reviewed} reviewed suggestions, {by.wrong} of them wrong" if by.reviewed else ""
    return f"student: {worth}" + (learned if by.student_worth else f", not used but among equals{learned}")


def _write_ranks(project: Project, out: Path) -> None:
    from tutelage.core.files import replacing

    frame = project.suspects()[["id", "text", "suggestion", "label_quality", "suspect_rank", "why"]]
    frame["why"] = frame["why"].map("; ".join)
    with replacing(out) as temporary:
        if out.suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)


@command("pull", example="tutelage pull --task news")
@click.option("--push-to-hub", default="", metavar="OWNER/NAME", help="Upload the snapshot to the Hub, private.")
@click.option("--public", is_flag=True, help="With --push-to-hub: a repository that is made now is public.")
def pull_command(console: Console, *, push_to_hub: str, public: bool) -> None:
    """Bring people's answers home and freeze them in a snapshot."""
    if push_to_hub:
        from tutelage.training.hub.upload import check_repository_name

        check_repository_name(push_to_hub)
    pulled = console.project.pull()
    data, words = asdict(pulled), _pull_words(pulled)
    if push_to_hub:
        data["hub"] = console.project.push_snapshot_to_hub(push_to_hub, snapshot=pulled.snapshot, private=not public)
        words += f"\n{data['hub']}"
    console.result(data, words)


def _pull_words(pulled: Pulled) -> str:
    answers = ", ".join(f"{count} {status}" for status, count in pulled.by_status.items()) or "no answers yet"
    lines = [f"answers: {answers}"]
    lines += [f"  {count} by {name}" for name, count in pulled.by_annotator.items()]
    lines += [f"  {n} by {name}, whose account was deleted (they count)" for name, n in pulled.by_deleted_user.items()]
    if pulled.from_files:
        lines.append(f"  {pulled.from_files} of them imported from files")
    if pulled.withdrawn:
        lines.append(f"  {pulled.withdrawn} that were there before are withdrawn (kept in task.db, they do not count)")
    if pulled.on_held_out:
        lines.append(f"  {pulled.on_held_out} on records that are held out now (kept in task.db, not trained on)")
    if pulled.unknown_records:
        lines.append(f"  {pulled.unknown_records} records of the dataset are not in task.db and were left alone")
    for uuid, count in pulled.other_datasets.items():
        lines.append(f"  {count} answers belong to another dataset ({uuid}) and are not used")
    if pulled.tied:
        lines.append(f"open ties, not trained on: {', '.join(pulled.tied)}")
    sources = ", ".join(f"{count} {source}" for source, count in pulled.by_source.items()) or "none"
    state = "new" if pulled.new else "same content as before"
    lines.append(f"snapshot {pulled.snapshot} ({state}): {pulled.records} records, labels: {sources}")
    return "\n".join(lines)
