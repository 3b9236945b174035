"""Makes an archive of what one version of tutelage leaves on disk; later versions are tested to open it.

    python tests/make_fixture.py REVISION [--python PYTHON] OUT.tar.gz

``task/`` is a task directory, ``argilla/`` the data directory of its embedded Argilla, and ``expected.json``
says what is to be found in them. Only the version's command line is used, run in a home of its own, and
Argilla's REST interface for the answers: nothing of any version is imported, so it works for all of them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import platformdirs

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("praise", "complaint, or request", "neither")
TASK = """\
name: village notes
question: What does the note want?
labels:
  - {name: praise, definition: Somebody is glad of something., aliases: [thanks, Well done!]}
  - {name: "complaint, or request", definition: Something ought to be otherwise., aliases: [complaint]}
  - neither
guidelines: Go by what the note **says**, not by what you would wish for.
examples: [{text: The lighthouse is open on Sundays., label: neither, reason: It only tells.}]
teachers:
  - {name: tutor, license: Apache-2.0, model: example/never-asked, base_url: "http://127.0.0.1:9/v1",
     prompts: [cot, {name: plain, votes: 1}], prices: [{since: 2026-01-31, input: 0.15, output: 0.60}]}
argilla: {dataset: village_notes}
queue: 20
student: linear
holdout: {share: 0.2}
"""
THINGS = ("the reading room", "the garden path", "the choir", "the ferry", "the bakery", "the map", "the old mill")
SAID = {
    "praise": ("is lovely", "made our day", "works like a charm", "was worth the walk"),
    "complaint, or request": ("needs mending", "closes too early", "is far too loud", "should be cleaned"),
    "neither": ("opens on Monday", "was painted blue", "has two doors", "lies by the river"),
}
TEXTS = ("The ferry is lovely, says Aino.", "The path needs mending!", "the mill has two doors", "Ää 😀, too loud", "x")
BEFORE = [*[("submitted", False)] * 2, *[("submitted", True)] * 2, ("draft", True), ("discarded", True)]
LATE = [("submitted", True), ("submitted", False)]
"""Answers before and after the last pull: the status, and whether it agrees with the suggestion."""


@dataclass(frozen=True)
class Version:
    """One version's command line; it runs in ``work``, so that no path of this machine is written down."""

    work: Path
    python: str

    def run(self, *words: str) -> str:
        """What a command prints."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ARGILLA_", "HF_", "PYTHON", "XDG_"))}
        home, code = (str(self.work.with_name(name)) for name in ("home", "code"))
        env |= {"HOME": home, "XDG_DATA_HOME": home, "PYTHONPATH": code, "HF_HUB_OFFLINE": "1"}
        command = [self.python, "-m", "tutelage", *words]
        return subprocess.run(command, cwd=self.work, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout

    def ask(self, *words: str) -> dict[str, Any]:
        """The result of a command on the task."""
        return dict(json.loads(self.run(*words, "--task", "task", "--json")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="of the project's git repository")
    parser.add_argument("out", type=Path, metavar="OUT.tar.gz")
    parser.add_argument("--python", default=sys.executable, help="has what that version needs (default: this one)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # Argilla is stopped on the way out
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.revision)
        version = Version(Path(folder) / "work", options.python)
        found = {"revision": options.revision, "version": version.run("--version").split()[-1], **live(version)}
        pack(version, found, options.out)


def prepare(folder: Path, revision: str) -> None:
    """The code of the revision, and a home that shares the server's environment: making one takes long."""
    code = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    for needed in ("code", "work/tiny", "home/tutelage"):
        (folder / needed).mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", folder / "code"], input=code, check=True)
    for environment in platformdirs.user_data_path("tutelage").glob("argilla-env-*"):
        (folder / "home" / "tutelage" / environment.name).symlink_to(environment)


def live(version: Version) -> dict[str, Any]:
    """Go through the loop; returns what later versions are to find."""
    found: dict[str, Any] = {"imported": begin(version)}
    try:
        call = sign_in(version)
        found["dataset"] = version.ask("push")["dataset"]
        there = f"datasets/{found['dataset']}/records?include=responses&limit=1000"
        version.ask("rank", "--out", "ranks.csv")
        ranks = pd.read_csv(version.work / "ranks.csv", keep_default_na=False)
        found["snapshots"] = [version.ask("pull")]
        answer(call, there, ranks, BEFORE)
        found["snapshots"] += [version.ask("pull")]
        found |= students(version, found["snapshots"][0]["snapshot"])
        found["late"] = answer(call, there, ranks[len(BEFORE) :], LATE)
        found["responses"] = {r["external_id"]: r["responses"] for r in call(there)["items"] if r["responses"]}
    finally:
        version.run("down")
    return found | records(version, ranks)


def begin(version: Version) -> dict[str, Any]:
    """The task and its records; returns what was imported."""
    version.run("init", "task", *(word for label in LABELS for word in ("--label", label)))
    (version.work / "task" / "task.yaml").write_text(TASK, "utf-8")
    pd.DataFrame(notes()).to_csv(version.work / "notes.csv", index=False)
    pd.DataFrame(enumerate(TEXTS), columns=["id", "text"]).to_csv(version.work / "texts.csv", index=False)
    columns = ["--text", "text", "--id", "id", "--gold", "gold", "--given", "given", "--teacher", "tutor"]
    votes = (word for n in (1, 2, 3) for word in ("--vote", f"vote_{n}:reason_{n}"))
    return version.ask("import", "notes.csv", *columns, *votes)


def notes() -> Iterator[dict[str, str]]:
    """Rows with three votes each, and a last one without a text."""
    told = [(thing, label, words) for thing in THINGS for label, choice in SAID.items() for words in choice]
    for number, (thing, label, words) in enumerate(random.Random(1).sample(told, 40)):
        row = {"id": f"note {number:02}", "text": f"{thing.capitalize()} {words}.", "gold": label}
        row["given"] = "neither" if number == 12 else ""
        for vote, said in enumerate(votes_of(number, label), 1):
            row |= {f"vote_{vote}": said, f"reason_{vote}": f"Because it {words}, I say {said}."}
        yield row
    yield {"id": "note without words", "gold": "neither"}


def votes_of(number: int, label: str) -> Sequence[str]:
    """Now and then a mistake, a tie of two or of three, an alias; some say nothing of use, at 9 all do."""
    wrong, third = (LABELS[(LABELS.index(label) + step) % 3] for step in (1, 2))
    alias = {"praise": "well done!", "neither": '"Neither".'}.get(label, "Complaint")
    odd = {1: (label, "hm", label), 3: (wrong, label, "hard to say"), 5: (alias, label, alias)}
    odd |= {6: (label, wrong, label), 7: (label, wrong, third), 8: (wrong, wrong, label)}
    return ("no idea", "no", "") if number == 9 else odd.get(number % 10, [label] * 3)


def sign_in(version: Version) -> Callable[..., Any]:
    """Start the version's Argilla; returns a function that calls its REST interface as one of its two users."""
    url = version.ask("up", "--port", "0")["url"]
    users = json.loads((data_of(version) / "credentials.json").read_text("utf-8"))

    def call(path: str, method: str = "GET", who: str = "owner", **more: Any) -> Any:
        key = {"X-Argilla-Api-Key": users[who]["api_key"]}
        done = httpx.request(method, f"{url}/api/v1/{path}", headers=key, trust_env=False, timeout=60, **more)
        return done.raise_for_status().json()

    return call


def answer(call: Callable[..., Any], there: str, ranks: pd.DataFrame, plan: Sequence[tuple[str, bool]]) -> list[str]:
    """Answer the first of these records as the plan says; returns their ids."""
    uuids = {record["external_id"]: record["id"] for record in call(there)["items"]}
    rows = ranks.head(len(plan))
    for (status, agrees), name, said in zip(plan, rows["id"], rows["suggestion"].replace("", "neither"), strict=True):
        label = said if agrees else LABELS[LABELS.index(said) - 1]
        values = {"label": {"value": label}, "reason": {"value": f"I have seen {name}."}}
        body = {"status": status, "values": values if status != "discarded" else None}
        call(f"records/{uuids[name]}/responses", "POST", "annotator", json=body)
    return list(rows["id"])


def students(version: Version, first_snapshot: str) -> dict[str, Any]:
    """A student of each kind that trains in seconds, the first one champion; returns what they say of the texts."""
    tiny_encoder(version.work / "tiny")
    short = ["--epochs", "2", "--batch-size", "4", "--learning-rate", "1e-3", "--validation", "0.3"]
    kinds = [["linear", "--snapshot", first_snapshot], ["linear", "--human-weight", "5"], ["tiny", *short]]
    ids = [version.ask("train", "--student", *words)["id"] for words in [*kinds, ["tiny:frozen"]]]
    report = version.ask("evaluate", "--student", ids[0])["report"]
    for champion in (ids[1], ids[0]):
        version.ask("promote", champion)
    ids_kept = ["--columns", "id"] if "--columns" in version.run("predict", "--help") else ["--id", "id"]
    version.ask("predict", "texts.csv", "task/predicted.csv", *ids_kept)
    predicted = list(pd.read_csv(version.work / "task" / "predicted.csv")["label"])
    words = ["predict", "texts.csv", "-", *ids_kept, "--engine", "torch", "--task", "task", "--student"]
    said = {student: [json.loads(line) for line in version.run(*words, student).splitlines()] for student in ids}
    return {"champion": champion, "report": report, "texts": TEXTS, "predicted": predicted, "students": said}


def tiny_encoder(path: Path) -> None:
    """A RoBERTa of random weights, as small as can be; large weights tell texts apart."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    tokenizer, special = ByteLevelBPETokenizer(), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(TEXTS, vocab_size=280, special_tokens=special, show_progress=False)
    tokenizer.save_model(str(path))
    RobertaTokenizerFast(vocab=str(path / "vocab.json"), merges=str(path / "merges.txt")).save_pretrained(path)
    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=280, max_position_embeddings=66, initializer_range=0.5, **small)
    RobertaModel(config).save_pretrained(path)


def records(version: Version, ranks: pd.DataFrame) -> dict[str, Any]:
    """What is known of the records; ``ranked``, the worst first, are the suggestions of all that are not held out."""
    task, status = version.work / "task", version.ask("status")
    with closing(sqlite3.connect(task / "task.db")) as db:
        votes = dict(db.execute("SELECT record, count(*) FROM answers GROUP BY record ORDER BY record"))
    manifest = json.loads((task / "snapshots" / status["snapshot"] / "manifest.json").read_text("utf-8"))
    held_out = sorted(json.loads((task / "holdout.lock.json").read_text("utf-8"))["rows"])
    ranked = {name: said or None for name, said in zip(ranks["id"], ranks["suggestion"], strict=True)}
    return {"task_id": manifest["task_id"], "status": status, "votes": votes, "held_out": held_out, "ranked": ranked}


def data_of(version: Version) -> Path:
    """The data directory of its embedded Argilla."""
    return next(version.work.with_name("home").glob("**/credentials.json")).parent


def pack(version: Version, found: dict[str, Any], out: Path) -> None:
    """Leave out logs, locks, copies of web pages, and who made the files and when."""
    folder, leave_out = version.work.with_name("archive"), shutil.ignore_patterns("*.log", "*.lock", "tmp")
    anonymous = partial(tarfile.TarInfo.replace, mtime=0, uid=0, gid=0, uname="", gname="", deep=False)
    shutil.copytree(version.work / "task", folder / "task")
    shutil.copytree(data_of(version), folder / "argilla", ignore=leave_out)
    for database in folder.glob("*/*.db"):
        with closing(sqlite3.connect(database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (folder / "expected.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    with gzip.GzipFile(out, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, str(path.relative_to(folder)), recursive=False, filter=anonymous)


if __name__ == "__main__":
    main()
