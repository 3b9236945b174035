"""How fast and how right ``annotate`` is, against an endpoint on loopback in a process of its own.

Wall times are of the run itself, without the interpreter's start; the ideal is what the endpoint's
service takes: the seconds of all its answers, and of hung calls until the client's timeout, divided
by the calls allowed at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _data import recorded_votes

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

LATENCY, AT_ONCE, TEXTS, VOTES = 0.2, 64, 2000, 3
FAULTS = {"too_many": 0.05, "retry_after": "1", "hang": 0.02, "garbage": 0.01}
PREFERENCES = ("liked it", "did not like it")


class Endpoint:
    """The server's process: its address, and what it did when it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout
        self.url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        self.did: dict[str, Any] = {}

    def end(self) -> None:
        """Stop it and read what it did."""
        out, _ = self._process.communicate("")
        self.did = json.loads(out)


@contextmanager
def endpoint(folder: Path, answers: dict[str, Any], **behaviour: Any) -> Iterator[Endpoint]:
    (folder / "answers.json").write_text(json.dumps(answers), "utf-8")
    (folder / "behaviour.json").write_text(json.dumps(behaviour), "utf-8")
    command = [sys.executable, str(ROOT / "tests" / "teacher_server.py")]
    command += [str(folder / "answers.json"), str(folder / "behaviour.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        running = Endpoint(process)
        try:
            yield running
        finally:
            running.end()


def synthetic(count: int) -> dict[str, Any]:
    """Texts with answers that need nothing but themselves."""
    answers: dict[str, Any] = {}
    for number in range(count):
        label = "good" if number % 3 else "bad"
        answer = json.dumps(
            {"reason": f"The writer {PREFERENCES[not number % 3]} and says so plainly.", "label": label}
        )
        words = "a sentence of the usual length that says something about a product, its price and its maker "
        answers[f"Text {number}: {words * 2}"] = {"json": [answer], "words": [label]}
    return answers


def make_task(folder: Path, texts: list[str], labels: list[str], teacher: dict[str, Any]) -> None:
    import yaml

    from tutelage.core.records import Record
    from tutelage.loaders.ledger import Ledger

    task = {"name": "benchmark", "labels": [{"name": label} for label in labels]}
    task["teachers"] = [{"name": "t", "license": "none", "model": "m", **teacher}]
    (folder / "task.yaml").write_text(yaml.safe_dump(task), "utf-8")
    with Ledger(folder / "task.db") as ledger:
        for start in range(0, len(texts), 1000):
            ledger.add([Record(f"r{start + i}", text) for i, text in enumerate(texts[start : start + 1000])])


def annotate_in_child(folder: Path) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, __file__, "child", str(folder)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert child.returncode == 0, child.stderr
    return dict(json.loads(child.stdout))


def child(folder: Path) -> None:
    """One run in this process; prints wall and CPU seconds of the run, and the peak memory of the process."""
    from tutelage.core.workspace import Workspace
    from tutelage.loaders.teacher.session import Session

    session = Session.of(Workspace(folder))
    import openai  # noqa: F401 - a second of import is no part of the run

    began, cpu = time.monotonic(), time.process_time()
    done = session.run()
    wall, cpu = time.monotonic() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "votes": done.votes, "troubles": done.troubles}))


def speed(title: str, limit: float, *, timeout: float = 60.0, **behaviour: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name), synthetic(TEXTS)
        with endpoint(folder, answers, latency=LATENCY, **behaviour) as server:
            limits = {"concurrency": AT_ONCE, "timeout": timeout}
            teacher = {"base_url": server.url, "votes": VOTES, "limits": limits}
            make_task(folder, list(answers), ["good", "bad"], teacher)
            ran = annotate_in_child(folder)
    did = server.did
    assert ran["votes"] == TEXTS * VOTES, ran
    ideal = (did["busy"] + did["outcomes"].get("hang", 0) * timeout) / AT_ONCE
    requests = sum(did["outcomes"].values())
    print(f"{title}: {ran['votes']} votes, {requests} requests {did['outcomes']}")
    print(f"  wall {ran['wall']:.2f} s, ideal {ideal:.2f} s, ratio {ran['wall'] / ideal:.3f} (limit {limit})")
    print(f"  client CPU {1000 * ran['cpu'] / requests:.2f} ms a call (aim 1.0), {did['most_active']} calls at once")


def reading() -> None:
    """How answers in models' styles are read, by style; styles that the reader was not written for are starred."""
    from reading_table import denials, table, task_of

    from tutelage.loaders.teacher.parsing import parse_answer

    counts: dict[str, Counter[str]] = {}
    for row in table():
        task = task_of(row.labels)
        found = task.read_label(parse_answer(row.answer, task, finish=row.finish).label_text)
        outcome = "right" if found == row.label else "missed" if found is None else "wrong"
        counts.setdefault(row.style + (" *" if row.held_back else ""), Counter())[outcome] += 1
    counts["all"] = sum(counts.values(), Counter())
    for style, of in counts.items():
        print(f"{style:32} wrong {of['wrong']:3}  missed {of['missed']:3}  right {of['right']:3}")
    cases = list(denials())
    taken = sum(
        task_of(s).read_label(parse_answer(answer, task_of(s)).label_text) == denied for s, denied, answer in cases
    )
    print(f"denials read as the label that they deny: {taken} of {len(cases)}")


def rate_limit() -> None:
    per_minute, count = 3000, 500
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name), synthetic(count)
        with endpoint(folder, answers, latency=LATENCY) as server:
            teacher = {"base_url": server.url, "votes": 1, "limits": {"concurrency": AT_ONCE, "rpm": per_minute}}
            make_task(folder, list(answers), ["good", "bad"], teacher)
            ran = annotate_in_child(folder)
    ideal = count * 60 / per_minute
    print(f"{per_minute} requests a minute: {count} votes, wall {ran['wall']:.2f} s, ideal {ideal:.2f} s,", end=" ")
    print(f"ratio {ran['wall'] / ideal:.3f} (limit 1.10)")


def batch_and_sleep(batches: int) -> None:
    """The loop of the notebooks: 64 calls together, a second's sleep, and again."""
    with tempfile.TemporaryDirectory() as name:
        answers = synthetic(TEXTS)
        with endpoint(Path(name), answers, latency=LATENCY) as server:
            began = time.monotonic()
            asyncio.run(_batches(server.url, list(answers), batches))
            wall = time.monotonic() - began
    calls = batches * AT_ONCE
    whole = wall * TEXTS * VOTES / calls
    print(f"batch and sleep: {calls} calls in {wall:.2f} s, so {TEXTS * VOTES} in {whole:.0f} s")


async def _batches(url: str, texts: list[str], batches: int) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        for number in range(batches):
            some = [texts[(number * AT_ONCE + i) % len(texts)] for i in range(AT_ONCE)]
            prompts = [f"Answer in JSON.\n<text>\n{text}\n</text>" for text in some]
            ask = client.chat.completions.create
            await asyncio.gather(*(ask(model="m", messages=[{"role": "user", "content": p}]) for p in prompts))
            await asyncio.sleep(1)


def memory() -> None:
    peaks = []
    for count in (2000, 20_000):
        with tempfile.TemporaryDirectory() as name:
            folder, answers = Path(name), synthetic(count)
            with endpoint(folder, answers) as server:
                teacher = {"base_url": server.url, "votes": 1, "limits": {"concurrency": AT_ONCE}}
                make_task(folder, list(answers), ["good", "bad"], teacher)
                ran = annotate_in_child(folder)
        peaks.append(ran["peak"])
        print(f"memory: {count} texts, peak {ran['peak']:.0f} MiB, {ran['votes'] / ran['wall']:.0f} votes/s,", end=" ")
        print(f"client CPU {1000 * ran['cpu'] / ran['votes']:.2f} ms a call")
    print(f"memory: 20,000 texts take {peaks[1] / peaks[0]:.3f} of what 2,000 take (limit 1.20)")


_FORMS = (
    '{{"reason": {reason}, "label": {label}}}',
    '```json\n{{"reason": {reason},\n "label": {label}}}\n```',
    'Here is my answer:\n{{"reason": {reason}, "label": {label}}}\nI hope this helps.',
    "{{'label': {label}, 'reason': {reason},}}",
)


def recorded() -> None:
    """Replay the recorded votes of a real LLM, in the forms that LLMs write, and compare."""
    import csv

    path = recorded_votes()
    if path is None:
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: row for row in csv.DictReader(file)}
    answers = {text: {"json": _json_answers(row), "words": [row["label_llm"]]} for text, row in rows.items()}
    labels = sorted({row["label_experts"] for row in rows.values()})
    for early_stop in (False, True):
        _replay(rows, answers, labels, early_stop=early_stop)


def _json_answers(row: dict[str, str]) -> list[str]:
    votes = [(row[f"reason_iter{n}"], row[f"sc_iter{n}"]) for n in (1, 2, 3)]
    form = _FORMS[len(row["text"]) % len(_FORMS)]
    return [form.format(reason=json.dumps(reason), label=json.dumps(label)) for reason, label in votes]


def _replay(rows: dict[str, Any], answers: dict[str, Any], labels: list[str], *, early_stop: bool) -> None:
    from tutelage.core.workspace import Workspace
    from tutelage.loaders.teacher.teacher_ledger import TeacherLedger

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with endpoint(folder, answers, structured="ignored") as server:
            prompts = [{"name": "cot", "votes": 3}]
            prompts += [] if early_stop else [{"name": "plain", "votes": 1, "temperature": 0}]
            teacher = {"base_url": server.url, "prompts": prompts, "seed": 1, "early_stop": early_stop}
            make_task(folder, list(rows), labels, teacher)
            ran = annotate_in_child(folder)
        with TeacherLedger(folder / "task.db") as ledger:
            records = list(ledger.records(Workspace(folder).task))
            stops = ledger.early_stop_count()
    print(f"recorded answers{', early stop' if early_stop else ''}: {ran['votes']} calls on {len(rows)} texts")
    if early_stop:
        print(f"  {stops[1]} of {3 * len(rows)} calls saved ({stops[1] / 3 / len(rows):.1%})")
    _compare(rows, records)


def _compare(rows: dict[str, Any], records: list[Any]) -> None:
    from tutelage.loaders.consensus import consensus

    counts: Counter[str] = Counter()
    for record in records:
        row = rows[record.text]
        votes = sorted((v for v in record.votes if v.voter.prompt.startswith("cot@")), key=lambda v: v.voter.vote)
        found = consensus([vote.label for vote in votes])
        counts["abstentions"] += sum(vote.label is None for vote in votes)
        counts["ties"] += bool(found and found.tie)
        counts["nothing to decide"] += found is None
        if found and not found.tie:
            counts["decided"] += 1
            counts["decided as recorded"] += found.label == row["label_llm_cot_multiple"]
        counts["majority right"] += bool(found and found.label == row["label_experts"])
        counts["first vote right"] += votes[0].label == row["label_experts"]
        plain = [vote for vote in record.votes if vote.voter.prompt.startswith("plain@")]
        counts["plain right"] += bool(plain and plain[0].label == row["label_experts"])
        counts["plain abstentions"] += bool(plain and plain[0].label is None)
    rights = ("majority right", "first vote right", *(("plain right",) if counts["plain right"] else ()))
    print(f"  {', '.join(f'{n} {what}' for what, n in counts.items() if what not in rights)}")
    print(f"  {', '.join(f'{what} {counts[what] / len(records):.4f}' for what in rights)}")


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]))
        return
    parts = {
        "reading": reading,
        "recorded": recorded,
        "speed": lambda: speed("all well", 1.10),
        "faults": lambda: speed("5 % 429, 2 % hung, 1 % garbage", 1.25, timeout=1.0, **FAULTS),
        "rate": rate_limit,
        "sleep": lambda: batch_and_sleep(20),
        "memory": memory,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)} (default: all)")
    names = parser.parse_args().parts or list(parts)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; a busy machine makes times longer")
    for name in names:
        parts[name]()


if __name__ == "__main__":
    main()
