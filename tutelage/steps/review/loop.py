"""The steps that people's work goes through: push, rank, pull."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tutelage.core.arrays import decide
from tutelage.core.errors import ServerError, TutelageError
from tutelage.core.locks import locked
from tutelage.core.pred_probs import read_pred_probs
from tutelage.core.records import Progress, Proposal, Record, unreported
from tutelage.core.rejects import Reject, Rejects
from tutelage.core.workspace import Workspace
from tutelage.feedback.answers import counting_answers
from tutelage.feedback.argilla.client import ArgillaClient
from tutelage.feedback.argilla.dataset import Dataset
from tutelage.feedback.argilla.people import People
from tutelage.feedback.argilla.pull import Fetched, fetch, fetch_answered
from tutelage.feedback.argilla.push import Push, PushResult, Suggested
from tutelage.feedback.curate import Curated, curate
from tutelage.feedback.snapshot import write_snapshot
from tutelage.loaders.consensus import suggest
from tutelage.loaders.holdout import HeldOut, held_out
from tutelage.loaders.ledger import FILE, Ledger
from tutelage.loaders.voting.vote_matrix import consensus_weights, weighed
from tutelage.steps.results import Pulled, Pushed, Ranked
from tutelage.steps.review.dealing import checked_deal, deal_queue

if TYPE_CHECKING:
    from tutelage.feedback.ranking.label_quality import Method
    from tutelage.feedback.ranking.rank_records import Ranking
    from tutelage.training.out_of_sample.choice import Chosen
    from tutelage.training.registry import Entry

_ANSWERS_LOCK = "answers.lock"


@dataclass(frozen=True)
class Loop:
    """The steps on one task; without ``argilla`` only those that need no server."""

    workspace: Workspace
    ledger: Ledger
    argilla: ArgillaClient | None = None
    progress: Callable[[Progress], None] = field(default=unreported)

    @cached_property
    def _holdout(self) -> HeldOut:
        return held_out(self.workspace)

    def parted(self) -> tuple[list[Record], frozenset[str]]:
        """All records but the holdout, and the ids of the holdout."""
        records = self._weighed(list(self.ledger.records(self.workspace.task)))
        held = frozenset(record.id for record in records if record in self._holdout)
        if len(held) == len(records):
            db = self.workspace.root / self.workspace.db.name  # a dry run works on a copy elsewhere
            raise TutelageError(f"{db}: holds no records; bring some with tutelage load or import")
        return [record for record in records if record.id not in held], held

    def _weighed(self, records: list[Record]) -> list[Record]:
        """The records, their votes weighed by all that was voted until now."""
        before = self.ledger.voter_weights()
        weights = consensus_weights(records, self.workspace.task, before)
        if weights == before:
            return records
        self.ledger.set_voter_weights(weights)
        return weighed(records, weights)

    @contextmanager
    def alone_with_queue(self) -> Iterator[None]:
        """No other process changes the ranks meanwhile, or what Argilla holds of them."""
        with self._alone("queue.lock", "the queue"):
            yield

    def _alone(self, lock: str, what: str) -> AbstractContextManager[None]:
        def wait(holder: str) -> None:
            self.progress(Progress(f"waiting for process {holder}, which is at work on {what}"))

        return locked(self.workspace.root / lock, on_wait=wait)

    # Push

    def push(self) -> Pushed:
        """Make the dataset if it is missing and send what changed."""
        records, _ = self.parted()
        dataset, created = self._argilla.ensure_dataset(self.workspace.task)
        with self.alone_with_queue():
            return self._send(dataset, [(record, suggest(record)) for record in records], created=created)

    def _send(self, dataset: Dataset, suggested: Sequence[Suggested], *, created: bool = False) -> Pushed:
        def report(done: int) -> None:
            self.progress(Progress("sending to Argilla", done, len(suggested), "records"))

        result = Push(self.ledger, dataset, self.workspace.task, report).run(suggested, self.ledger.ranks())
        self._reject(result)
        return Pushed(
            sent=result.sent,
            metadata_only=result.metadata_only,
            unchanged=result.unchanged,
            rejected=result.rejected,
            dataset=dataset.id,
            created=created,
            link=dataset.queue_link,
            dealt=self.ledger.deal() is not None,
        )

    def _reject(self, result: PushResult) -> None:
        rejects = (Reject(source="push", id=record_id, reason=why) for record_id, why in result.rejected.items())
        if result.rejected:
            Rejects(self.workspace.rejects).add(rejects)

    @property
    def _argilla(self) -> ArgillaClient:
        if self.argilla is None:
            raise ServerError("this step needs Argilla; start it with: tutelage up")
        return self.argilla

    def dataset(self) -> Dataset:
        """The task's dataset on Argilla.

        Raises
        ------
        ServerError
            When nothing was pushed yet.
        """
        dataset = self._argilla.dataset(self.workspace.task)
        if dataset is None:
            raise ServerError(
                f"no dataset {self.workspace.task.dataset_name!r} on Argilla yet; make it with: tutelage push"
            )
        return dataset

    @property
    def people(self) -> People:
        """Who answers in the task's workspace."""
        return self._argilla.people(self.workspace.task)

    @cached_property
    def found(self) -> Dataset | None:
        """The task's dataset on Argilla; None before the first push."""
        return self._argilla.dataset(self.workspace.task)

    # Pull

    def pull(self) -> Pulled:
        """Fetch all answers and freeze a snapshot; without Argilla, of the answers that came in files.

        Answers on records that were pushed before they became the holdout are kept too, and not used.
        """
        dataset, task = self.dataset() if self.argilla else None, self.workspace.task
        records, held = self.parted()
        fetched = self._fetched(dataset, records, held)
        on_held_out = sum(len(fetched.responses[record_id]) for record_id in held & fetched.responses.keys())
        summary = {**fetched.summary, "on_held_out": on_held_out}
        curated = curate(records, fetched.responses, self.ledger.ranks())
        self.progress(Progress("writing the snapshot"))
        server, name = (dataset.remote.url, dataset.id) if dataset else ("", FILE)
        origin = {"server": server, "dataset": name, "name": task.dataset_name, **summary}
        snapshot, is_new = write_snapshot(self.workspace.snapshots, task, curated, origin)
        manifest = snapshot.manifest
        return Pulled(
            snapshot=snapshot.id,
            new=is_new,
            path=str(snapshot.path),
            records=manifest["records"],
            by_source=manifest["by_source"],
            status=manifest["by_status"],
            tied=tuple(manifest["tied"]),
            **summary,
        )

    def curated(self) -> list[Curated]:
        """What ``pull`` would freeze now; all answers are fetched before."""
        records, held = self.parted()
        fetched = self._fetched(self.dataset() if self.argilla else None, records, held)
        return curate(records, fetched.responses, self.ledger.ranks())

    def _fetched(self, dataset: Dataset | None, records: list[Record], held: frozenset[str]) -> Fetched:
        return self._fetch(dataset, records, held) if dataset else Fetched(counting_answers(self.ledger), 0, {})

    def _fetch(self, dataset: Dataset, records: list[Record], held: frozenset[str]) -> Fetched:
        self.progress(Progress("reading answers from Argilla"))
        known = held | {record.id for record in records}
        users = self._argilla.users(self.workspace.task)
        with self._alone(_ANSWERS_LOCK, "the answers"):
            return fetch(self.ledger, dataset, users, known, progress=self.progress)

    def fetch_answered(self, dataset: Dataset, known: Container[str]) -> None:
        """Read the answers to ranked records that came since the last ranking."""
        users = self._argilla.users(self.workspace.task)
        with self._alone(_ANSWERS_LOCK, "the answers"):
            fetch_answered(self.ledger, dataset, users, known)

    # Rank

    def propose(self, champion: Entry) -> int:
        """Store what a student suggests for texts without a vote, a given label or an answer; returns how many.

        Only for texts that it never trained on; what another one had suggested before is replaced.
        """
        from tutelage.training.unseen import probabilities, unseen_by

        answered, names = counting_answers(self.ledger), champion.manifest.labels
        waiting = [
            record
            for record in self.parted()[0]
            if not record.votes and record.given is None and record.id not in answered
            if record.proposal is None or record.proposal.student != champion.id
        ]
        new = unseen_by(champion, waiting)
        labels = decide(probabilities(champion, [record.text for record in new], progress=self.progress))
        self.ledger.set_proposals(
            {record.id: Proposal(champion.id, names[label]) for record, label in zip(new, labels, strict=True)}
        )
        return len(new)

    def rank(
        self,
        *,
        student: str | Sequence[str] = "linear",
        seed: int = 0,
        method: Method = "weighted",
        champion: Entry | None = None,
    ) -> Ranked:
        """Rank what nobody has reviewed; with Argilla, look for new answers first and send the ranks after.

        The probabilities of several students are averaged. ``champion`` has the word, in their place, on texts that it
        never trained on.
        """
        dataset = self.dataset() if self.argilla else None
        records, held = self.parted()
        if dataset:
            self._fetch(dataset, records, held)
        curated = curate(records, counting_answers(self.ledger), self.ledger.ranks())
        students = [student] if isinstance(student, str) else student
        chosen = self._hand_to_ranking(curated, students, seed, champion)
        ranks, by = self._rank(curated, seed, method)
        with self.alone_with_queue():
            self.ledger.set_ranks(ranks, by)
            if dataset:
                self.deal_again(curated)
            pushed = self._send_ranked(dataset, curated) if dataset else None
        queue = min(len(ranks), self.workspace.task.queue)
        return Ranked(ranked=len(ranks), queue=queue, by=by, pushed=pushed, students=chosen.names, why=chosen.why)

    def deal_again(self, curated: Sequence[Curated]) -> None:
        """Deal what is new in the queue, where it was ever dealt."""
        deal_queue(self.ledger, self.workspace.task, curated, self._present())

    def _present(self) -> frozenset[str]:
        """Who is in the workspace; asked only where the queue is dealt."""
        return frozenset(self.people.members()) if self.ledger.deal() else frozenset()

    # Deal

    def deal(self, names: Sequence[str], overlap: float | None) -> Pushed:
        """Deal the queue among these people, or all annotators of the workspace, and send whose each record is."""
        dataset, task = self.dataset(), self.workspace.task
        records, held = self.parted()
        self._fetch(dataset, records, held)
        curated = curate(records, counting_answers(self.ledger), self.ledger.ranks())
        members = self.people.members()
        deal = checked_deal(task, names, overlap, members, has_ranks=bool(self.ledger.ranks()))
        with self.alone_with_queue():
            self.ledger.add_deal(deal)
            deal_queue(self.ledger, task, curated, members, level=True)
            return self._send_ranked(dataset, curated)

    def _send_ranked(self, dataset: Dataset, curated: list[Curated]) -> Pushed:
        self._argilla.refresh(dataset, self.workspace.task)
        return self._send(dataset, [(item.record, item.suggestion) for item in curated])

    def _hand_to_ranking(
        self, curated: list[Curated], students: Sequence[str], seed: int, champion: Entry | None
    ) -> Chosen:
        """What the students hand to the ranking, through a file."""
        from tutelage.training.out_of_sample.for_ranking import hand_to_ranking

        return hand_to_ranking(
            self.workspace,
            [item.record for item in curated],
            [item.label for item in curated],
            students,
            seed=seed,
            champion=champion,
            progress=self.progress,
        )

    def _rank(self, curated: list[Curated], seed: int, method: Method) -> Ranking:
        from tutelage.steps.review.explaining import ExplainedRanker

        self.progress(Progress("label quality"))
        task = self.workspace.task
        pred_probs = read_pred_probs(self.workspace.pred_probs, task.label_names)
        return ExplainedRanker(curated, task, pred_probs, method=method, seed=seed).rank(self.ledger, curated)
