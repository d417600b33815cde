"""A ledger and the memory before it, without a model: what decides which version of a fact is live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from guardedit.agent.decider import Decider
from guardedit.agent.parts import Limits, Parts
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact
from guardedit.core.messages import Delivery, Fate
from guardedit.core.protocols import Clock, Worker
from guardedit.guard import DriftLimits, DriftWatch, NoGuard, bisect
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.memory.store import RetrievalMemory
from guardedit.naming import identity
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import parse_policy

#: Everything is accepted, so that the keys and versions of facts alone decide.
POLICY = """\
apiVersion: guardedit/v1
rules:
  - {id: all, route: memory, why: the list decides by its order}
subjects: {reserved: allow}
quota: {subject_edits_per_day: null, names_per_correction: null}
"""
#: Messages that are decided together.
BATCH = 200
#: Stands for a model in the ledger.
NO_MODEL = "0" * 64


class FactStore:
    """Takes corrections as the live cycle does, and answers from the memory. One thread."""

    def __init__(self, folder: Path, memory: RetrievalMemory, clock: Clock) -> None:
        self.memory = memory
        self.ledger = SqliteLedger.open(
            folder, base_sha256=NO_MODEL, weights_sha256=NO_MODEL, policy_sha256="", clock=clock
        )
        policy = parse_policy(POLICY, name="consolidation")
        self._decider = Decider(
            Parts(
                sources=(),
                ledger=self.ledger,
                decide=lambda correction, facts: decide(policy, correction, DecisionContext(**facts)),
                check=lambda _: None,
                signed_by=lambda *_: "",
                reach=lambda correction: (identity(correction.subject),),
                known_questions=lambda _: (),
                worker=cast("Worker", None),  # only the consolidating cycle works with it
                guard=NoGuard(),
                bisect=bisect,
                drift=DriftWatch(DriftLimits(), []),
                replicas=(),
                observe=lambda _: None,
                clock=clock,
                limits=Limits(weights=False),
                settings_sha256="",
            )
        )

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def send(self, messages: Sequence[bytes], *, name: str) -> list[Fate]:
        """Receive, decide, remember and publish messages; `name` tells them from others. Returns fates.

        Raises:
            UsageError: a message became a dead letter.
        """
        fates = list[Fate]()
        deliveries = [Delivery(raw=raw, source=name, position=str(n)) for n, raw in enumerate(messages)]
        self.ledger.receive(deliveries)
        while pending := self.ledger.pending(BATCH):
            before = self.ledger.epoch().number
            settlements = self._decider.decide(pending)
            self.ledger.settle(settlements, seen=before)
            self.memory.apply(self.ledger.update(before).changes)
            fates += [one.fate for one in settlements]
            if dead := next((one for one in settlements if one.fate is Fate.DEAD), None):
                raise UsageError(f"message {dead.seq} of {name} is no correction: {dead.reason}")
        return fates

    def best(self, questions: Sequence[str]) -> list[Fact | None]:
        """For each question the fact that fits it best, whatever the scope test says."""
        return [found[0][0] if found else None for found in self.memory.scored(questions)]

    def in_scope(self, questions: Sequence[str]) -> list[Fact | None]:
        """For each question its fact; None where the scope test says that it is out of scope."""
        return [one.fact for one in self.memory.recall(questions)]
