"""Step 5: watch for drift. Every epoch passed its own gates, but many of them together may do too much harm.

After each change of the served weights, the perplexity of the serving epoch is measured once: a reading. The
next action depends only on the recorded events, so neither a restart nor an operator's command in another
process disturbs it:

    weights without a reading                        -> measure, note the reading
    the reading is a breach                          -> roll back to last-good
    a drift rollback, harmful edits not named yet    -> find them, quarantine their facts
    the reading is no breach                         -> move last-good to the serving epoch
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.judging import TrialSetup
from guardedit.agent.kept import BREACH, UNDECIDED, Kept
from guardedit.agent.parts import Parts
from guardedit.agent.reversal import roll_back
from guardedit.agent.trial import try_batch
from guardedit.core.drift import Breach, Reading
from guardedit.core.epoch import Epoch
from guardedit.core.errors import GuardError
from guardedit.core.fact import Placement
from guardedit.core.failpoints import failpoint
from guardedit.core.probe import Measurement, Probes
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event

#: Kinds of epochs that return to an older state. Their fall in perplexity is no progress: detectors restart.
RETURNS = frozenset({"rollback", "undo", "redo", "demote"})


@dataclass
class _WatchState:
    """The state after the events so far.

    Attributes:
        weights: sha256 of the served weights.
        since: the epoch that introduced them.
        kind: the kind of that epoch.
        measured: whether they have a reading; the base model needs none.
        breach: breach of the latest reading, until a rollback.
        unexplained: the rollback for drift whose harmful edits have not been named yet.
    """

    weights: str = ""
    since: int = 0
    kind: str = "base"
    measured: bool = True
    breach: Breach | None = None
    unexplained: int | None = None


class Watch:
    """Checks each change of the weights for drift; after a breach rolls back and finds the harmful edits."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._state, self._seen = _WatchState(), 0

    def check(self) -> dict[str, str]:
        """Take the next actions. Returns the facts that a breach put into quarantine: fact id -> reason."""
        quarantined: dict[str, str] = {}
        self._read_events()
        if not self._state.measured:
            self._measure()
        if self._state.breach is not None:
            self._roll_back(self._state.breach)
        if self._state.unexplained is not None:
            quarantined = self._quarantine_harmful(self._state.unexplained)
        if not self._state.measured:
            self._measure()  # the weights that the rollback brought back
        if self._state.measured and self._state.breach is None:
            self._move_last_good()
        return quarantined

    def unfinished(self) -> bool:
        """Whether the served weights have no reading, or a breach has not been dealt with."""
        self._read_events()
        state = self._state
        return not state.measured or state.breach is not None or state.unexplained is not None

    def _read_events(self) -> None:
        for seq, kind, body in self.parts.ledger.events(since=self._seen, kinds=("epoch", "reading", "kept")):
            self._seen = seq
            if kind == "epoch":
                self._take_epoch(body)
            elif kind == "reading":
                self._take_reading(body)
            elif body.get("after") == self._state.unexplained:
                self._state.unexplained = None

    def _take_epoch(self, body: Mapping[str, Any]) -> None:
        state = self._state
        if body["kind"] == "rollback":
            state.breach = None
            if body["reason"].startswith("drift:"):
                state.unexplained = body["number"]
        if body["weights_sha256"] != state.weights:
            state.weights, state.since, state.kind = body["weights_sha256"], body["number"], body["kind"]
            state.measured = body["number"] == 0

    def _take_reading(self, body: Mapping[str, Any]) -> None:
        numbers = {name: body[name] for name in ("epoch", "log_ratio_to_base", "log_ratio_to_last_good")}
        breach = self.parts.drift.update(Reading(**numbers, restart=body["restart"]))
        if body["epoch"] >= self._state.since:
            self._state.measured, self._state.breach = True, breach

    def _measure(self) -> None:
        """Note a reading of the serving epoch.

        Raises:
            GuardError: its perplexity ratio is not finite.
        """
        self.parts.observe(Event(kind="stage", fields={"name": "watching"}))
        found = self.parts.ledger.snapshot()
        good = self.parts.ledger.ref("last-good")
        now = self._measured(found.edits)
        to_base = _log_ratio(now, self._measured(()))
        to_good = _log_ratio(now, self._measured(self.parts.ledger.edits(good)))
        if not (math.isfinite(to_base) and math.isfinite(to_good)):
            raise GuardError(
                f"epoch {found.epoch.number} has no finite perplexity ratio ({to_base}, {to_good} nats): "
                "look at the probe texts, or roll back"
            )
        failpoint("watch.measured")
        self.parts.ledger.note(
            "reading",
            {
                "epoch": found.epoch.number,
                "weights_sha256": found.epoch.weights_sha256,
                "log_ratio_to_base": to_base,
                "log_ratio_to_last_good": to_good,
                "restart": self._state.kind in RETURNS,
            },
        )
        failpoint("watch.noted")
        self._report(found.epoch, to_base)
        self._read_events()

    def _move_last_good(self) -> None:
        serving, good = self.parts.ledger.epoch(), self.parts.ledger.ref("last-good")
        if good != serving.number and serving.weights_sha256 == self._state.weights:
            failpoint("watch.good")
            self.parts.ledger.move_ref("last-good", to=serving.number, expected=good)

    def _roll_back(self, breach: Breach) -> None:
        fields = {"detector": breach.reason, "value": breach.value, "limit": breach.limit}
        self.parts.observe(Event(kind="breach", fields={**fields, "epoch": breach.epoch}))
        roll_back(self.parts, self._safe_epoch(), trigger="drift", detail=str(breach))
        failpoint("watch.rolled_back")
        self._read_events()

    def _safe_epoch(self) -> int:
        """The epoch to return to: last-good, or the base model if last-good has the weights of the breach."""
        good = self.parts.ledger.epoch(self.parts.ledger.ref("last-good"))
        return 0 if good.weights_sha256 == self._state.weights else good.number

    def _quarantine_harmful(self, rollback: int) -> dict[str, str]:
        """Find the harmful edits among those that the rollback removed, and quarantine their facts.

        The facts of the other edits may be promoted again.
        """
        staying = self.parts.ledger.edits(rollback)
        kept_digests = {edit.digest for edit in staying}
        removed = {edit.digest: edit for edit in self.parts.ledger.edits(rollback - 1)}
        removed_edits = [edit for digest, edit in removed.items() if digest not in kept_digests]
        reason = self.parts.ledger.epoch(rollback).reason
        quarantined = {
            fact: Kept(code=BREACH, reason=reason, epoch=rollback - 1)
            for fact in self._harmful_facts(removed_edits, staying)
        }
        facts = {fact: kept.to_json() for fact, kept in quarantined.items()}
        self.parts.ledger.note("kept", {"facts": facts, "after": rollback})
        failpoint("watch.named")
        self._read_events()
        return {fact: kept.reason for fact, kept in quarantined.items()}

    def _harmful_facts(self, removed: Sequence[WeightEdit], staying: Sequence[WeightEdit]) -> Iterable[str]:
        """Facts of the removed edits that fail a trial on top of the staying ones."""
        live = self.parts.ledger.live()
        setup = TrialSetup(
            serving=staying,
            staying=staying,
            facts={fact.id: fact for fact in live.values() if fact.placement is Placement.MEMORY},
            live=live,
            seed=self.parts.limits.trial_seed,
        )
        # Edits with a fact that was superseded or retracted since are out for good.
        edits = {edit.subject: edit for edit in removed if set(edit.facts) <= setup.facts.keys()}
        result = try_batch(self.parts, setup, edits)
        failed = {fact for fact, why in result.kept.items() if why.code != UNDECIDED}
        harmful = [edit for edit in edits.values() if failed & set(edit.facts)]
        if not harmful and edits:
            # Each edit is harmless by itself, and only all together are not: take the largest change.
            harmful = [max(edits.values(), key=lambda edit: edit.diagnostics.get("relative_size", 0.0))]
        return [fact for edit in harmful for fact in edit.facts]

    def _measured(self, edits: Sequence[WeightEdit]) -> Measurement:
        texts = self.parts.guard.probes_for((), {}, seed=0).texts
        return self.parts.worker.measure(edits, Probes(texts=texts))

    def _report(self, epoch: Epoch, log_ratio: float) -> None:
        fields = {"epoch": epoch.number, "probe_set": "guard", "perplexity_ratio": math.exp(log_ratio)}
        limit = self.parts.limits.drift_ratio
        self.parts.observe(Event(kind="watched", fields={**fields, "limit": limit}))


def _log_ratio(candidate: Measurement, reference: Measurement) -> float:
    """Natural log of the perplexity ratio, paired by token; 0 without probe texts (no guard)."""
    pairs = [
        b - a
        for text, other in zip(candidate.logprobs, reference.logprobs, strict=True)
        for a, b in zip(text, other, strict=True)
    ]
    return math.fsum(pairs) / len(pairs) if pairs else 0.0
