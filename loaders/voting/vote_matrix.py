"""Records' votes as arrays, and how much each teacher's votes count in the consensus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tutelage.core.arrays import Ints
from tutelage.core.records import Record, Voter
from tutelage.core.task import Task
from tutelage.loaders.voting.voter_weights import voter_weights

GIVEN_VOTER = Voter("given", "given")
"""Given labels count as the votes of one more voter."""

VOTERS_WEIGHED = 4
"""From so many teachers' votes on, a consensus weighs them."""

_MOVED = 0.1


def vote_matrix(records: Sequence[Record], task: Task) -> Ints:
    """Shape (N, V): the index of each voter's label, ``NO_LABEL`` for an abstention."""
    return voters_and_votes(records, task)[1]


def voters_and_votes(records: Sequence[Record], task: Task) -> tuple[list[Voter], Ints]:
    """Who voted, in the order of their names, and the matrix of their votes with a column for each of them."""
    labels = [_labels_by_voter(record) for record in records]
    voters = sorted({voter for by_voter in labels for voter in by_voter}, key=str)
    voted = task.indices(by_voter.get(voter) for by_voter in labels for voter in voters)
    return voters, voted.reshape(len(records), len(voters))


def _labels_by_voter(record: Record) -> dict[Voter, str]:
    votes = {vote.voter: vote.label for vote in record.votes if vote.label is not None}
    return votes | ({GIVEN_VOTER: record.given} if record.given is not None else {})


def consensus_weights(
    records: Sequence[Record], task: Task, before: Mapping[Voter, float] | None = None
) -> dict[Voter, float]:
    """How much each teacher's votes count in a consensus; nothing below four teachers' votes: all count the same.

    ``before`` are the weights so far: they stay unless one moved by more than 0.1, so that a few new records change
    no suggestion of others.
    """
    voters, votes = voters_and_votes(records, task)
    teachers = [voter for voter in voters if voter != GIVEN_VOTER]
    if len(teachers) < VOTERS_WEIGHED:
        return {}
    found = dict(zip(voters, voter_weights(votes, len(task.label_names)).round(4).tolist(), strict=True))
    new = {voter: found[voter] for voter in teachers}
    has_moved = before is None or before.keys() != new.keys() or any(abs(before[v] - new[v]) > _MOVED for v in new)
    return new if has_moved else dict(before or {})


def weighed(records: Sequence[Record], weights: Mapping[Voter, float]) -> list[Record]:
    """The records, with these weights on their votes; a voter without one counts 1."""
    return [
        replace(r, votes=tuple(replace(vote, weight=weights.get(vote.voter, 1.0)) for vote in r.votes)) for r in records
    ]
