"""``up``, ``down``, ``push``, ``rank``, ``pull``: the part of the loop that people work in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tutelage.commands.console import Console, command

if TYPE_CHECKING:
    from tutelage.feedback.push import PushResult
    from tutelage.feedback.server.lifecycle import Server
    from tutelage.project.loop import Loop


@command("up")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help="Port on 127.0.0.1 (default 6900; 0: a free one)."
)
def up_command(console: Console, *, port: int | None) -> None:
    """Start the embedded Argilla, or find the one that runs."""
    from tutelage.feedback.server.lifecycle import up

    server = up(port=port, on_progress=console.say)
    console.result({"url": server.url, "annotator": server.annotator, "owner": server.owner}, sign_in_words(server))


def sign_in_words(server: Server) -> str:
    """How a person signs in."""
    return (
        f"Argilla is at {server.url}\n"
        f"  annotators sign in as {server.annotator} with password {server.annotator_password}\n"
        f"  its owner is {server.owner} with password {server.owner_password}"
    )


@command("down")
def down_command(console: Console) -> None:
    """Stop the embedded Argilla; all that is in it stays."""
    from tutelage.feedback.server.lifecycle import down

    stopped = down()
    console.result({"stopped": stopped}, "Argilla is stopped" if stopped else "no Argilla was running")


@command("push")
def push_command(console: Console) -> None:
    """Bring the dataset on Argilla up to date; only what changed is sent."""
    with _loop(console) as loop:
        pushed, dataset, is_new = loop.push()
        data = {**_counts(pushed), "dataset": dataset.id, "created": is_new, "link": dataset.queue_link}
        console.result(data, _push_words(console, pushed) + f"\n{dataset.queue_link}")


def _counts(pushed: PushResult) -> dict[str, int]:
    return {
        "sent": pushed.sent,
        "metadata_only": pushed.metadata_only,
        "unchanged": pushed.unchanged,
        "rejected": len(pushed.rejected),
    }


def _push_words(console: Console, pushed: PushResult) -> str:
    rejected = f", {len(pushed.rejected)} rejected (see {console.workspace.rejects})" if pushed.rejected else ""
    return f"{pushed.sent} sent, {pushed.metadata_only} metadata only, {pushed.unchanged} unchanged{rejected}"


@command("rank")
@click.option(
    "--student",
    default="linear",
    show_default=True,
    help="Whose out-of-sample probabilities: linear, a Hub name or path, MODEL:frozen.",
)
@click.option("--no-push", is_flag=True, help="Do not look at Argilla and send nothing to it.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all records in order (CSV or Parquet)."
)
@click.option("--seed", default=0, show_default=True, help="Settles ties and folds.")
def rank_command(console: Console, *, student: str, no_push: bool, out: Path | None, seed: int) -> None:
    """Rank the suggestions that look wrong, the worst first."""
    if out and out.suffix.lower() not in {".csv", ".parquet"}:
        raise click.UsageError(f"--out {out}: ends in neither .csv nor .parquet")
    with _loop(console, with_argilla=not no_push) as loop:
        ranks, pushed, dataset = loop.rank(student=student, seed=seed)
        if out:
            _write_ranks(loop, out)
        data: dict[str, Any] = {"ranked": len(ranks), "queue": min(len(ranks), console.workspace.task.queue)}
        words = f"{len(ranks)} records ranked"
        if pushed and dataset:
            data |= {**_counts(pushed), "link": dataset.queue_link}
            words += f"; {_push_words(console, pushed)}\nthe worst first: {dataset.queue_link}"
        console.result(data, words)


def _write_ranks(loop: Loop, out: Path) -> None:
    import pandas as pd

    from tutelage.core.files import replacing
    from tutelage.loaders.consensus import suggest

    ranks = loop.ledger.ranks()
    ranked = [(record, suggest(record), ranks[record.id]) for record in loop.records() if record.id in ranks]
    rows = [(r.id, r.text, s and s.label, rank.label_quality, rank.suspect_rank) for r, s, rank in ranked]
    frame = pd.DataFrame(rows, columns=["id", "text", "suggestion", "label_quality", "suspect_rank"])
    frame = frame.sort_values("suspect_rank")
    with replacing(out) as temporary:
        if out.suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)


@command("pull")
@click.option("--push-to-hub", default="", metavar="OWNER/NAME", help="Upload the snapshot to the Hub, private.")
@click.option("--public", is_flag=True, help="With --push-to-hub: a repository that is made now is public.")
def pull_command(console: Console, *, push_to_hub: str, public: bool) -> None:
    """Bring people's answers home and freeze them in a snapshot."""
    if push_to_hub:
        from tutelage.training.hub.upload import check_repository_name

        check_repository_name(push_to_hub)
    with _loop(console) as loop:
        snapshot, is_new, fetched = loop.pull()
        manifest = snapshot.manifest
        data = {"snapshot": snapshot.id, "new": is_new, "path": str(snapshot.path), **fetched}
        data |= {key: manifest[key] for key in ("records", "by_source", "tied")} | {"status": manifest["by_status"]}
        if push_to_hub:
            from tutelage.training.hub.upload import push_snapshot

            data["hub"] = push_snapshot(snapshot, console.workspace.task, push_to_hub, private=not public)
        console.result(data, _pull_words(data))


def _pull_words(data: dict[str, Any]) -> str:
    answers = ", ".join(f"{count} {status}" for status, count in data["by_status"].items()) or "no answers yet"
    lines = [f"answers: {answers}"]
    lines += [f"  {count} by {name}" for name, count in data["by_annotator"].items()]
    lines += [f"  {n} by {name}, whose account was deleted (they count)" for name, n in data["by_deleted_user"].items()]
    if data["withdrawn"]:
        lines.append(f"  {data['withdrawn']} that were there before are withdrawn (kept in task.db, they do not count)")
    if data["on_held_out"]:
        lines.append(f"  {data['on_held_out']} on records that are held out now (kept in task.db, not trained on)")
    if data["unknown_records"]:
        lines.append(f"  {data['unknown_records']} records of the dataset are not in task.db and were left alone")
    for uuid, count in data["other_datasets"].items():
        lines.append(f"  {count} answers on another dataset ({uuid}) are kept apart")
    if data["tied"]:
        lines.append(f"open ties, not trained on: {', '.join(data['tied'])}")
    sources = ", ".join(f"{count} {source}" for source, count in data["by_source"].items())
    state = "new" if data["new"] else "same content as before"
    lines.append(f"snapshot {data['snapshot']} ({state}): {data['records']} records, labels: {sources}")
    return "\n".join([*lines, *([data["hub"]] if "hub" in data else [])])


@contextmanager
def _loop(console: Console, *, with_argilla: bool = True) -> Iterator[Loop]:
    from tutelage.loaders.ledger import Ledger
    from tutelage.project.loop import Loop, sign_in

    workspace = console.workspace
    _ = workspace.task  # a wrong task file is said before anything is opened
    with ExitStack() as stack:
        argilla = stack.enter_context(sign_in(console.settings)) if with_argilla else None
        yield Loop(workspace, stack.enter_context(Ledger(workspace.db)), argilla, console.progress)
