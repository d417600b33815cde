"""Step 5: drift over epochs. Every epoch passed its own gates; the sum of them may still be too much.

An epoch is served unwatched until a reading of its weights is in the ledger. What has to be done follows from
the recorded events alone, so a restart, or an operator's command from another process, changes nothing:

    weights without a reading           -> measure, note the reading
    a reading that breaches             -> roll back to last-good
    a rollback for drift without names  -> find the culprits, put them into quarantine
    a calm reading                      -> last-good follows
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.kept import BREACH, Kept
from guardedit.agent.parts import Parts
from guardedit.agent.reversal import roll_back
from guardedit.agent.trial import Trial
from guardedit.core.drift import Breach, Reading
from guardedit.core.epoch import Epoch
from guardedit.core.errors import GuardError
from guardedit.core.fact import Placement
from guardedit.core.failpoints import failpoint
from guardedit.core.probe import Measurement, Probes
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event

#: Kinds of epochs that return to an older state: their fall in perplexity is not progress.
RETURNS = frozenset({"rollback", "undo", "redo", "demote"})


@dataclass
class _Story:
    """What the events say so far."""

    weights: str = ""  # sha256 of what serves
    since: int = 0  # the epoch that brought it
    kind: str = "base"  # of that epoch
    read: bool = True  # whether there is a reading of it; the base model needs none
    breach: Breach | None = None  # of the last reading, until somebody rolls back
    unnamed: int | None = None  # the rollback for drift whose culprits nobody has named


class Watch:
    """Feeds the drift detectors each epoch that changed the weights; after a breach finds the culprits."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._story, self._seen = _Story(), 0

    def look(self) -> dict[str, str]:
        """Do what has to be done; after a breach the facts in quarantine, with the reason."""
        quarantined: dict[str, str] = {}
        self._read_on()
        if not self._story.read:
            self._measure()
        if self._story.breach is not None:
            self._return(self._story.breach)
        if self._story.unnamed is not None:
            quarantined = self._name_culprits(self._story.unnamed)
        if not self._story.read:
            self._measure()  # of what the rollback brought back
        if self._story.read and self._story.breach is None:
            self._all_is_well()
        return quarantined

    def unwatched(self) -> bool:
        """Whether something serves that nobody has measured, or that should no longer serve."""
        self._read_on()
        return not self._story.read or self._story.breach is not None or self._story.unnamed is not None

    def _read_on(self) -> None:
        for seq, kind, body in self.parts.ledger.events(since=self._seen, kinds=("epoch", "reading", "kept")):
            self._seen = seq
            if kind == "epoch":
                self._take_epoch(body)
            elif kind == "reading":
                self._take_reading(body)
            elif body.get("after") == self._story.unnamed:
                self._story.unnamed = None

    def _take_epoch(self, body: Mapping[str, Any]) -> None:
        story = self._story
        if body["kind"] == "rollback":
            story.breach = None
            if body["reason"].startswith("drift:"):
                story.unnamed = body["number"]
        if body["weights_sha256"] != story.weights:
            story.weights, story.since, story.kind = body["weights_sha256"], body["number"], body["kind"]
            story.read = body["number"] == 0

    def _take_reading(self, body: Mapping[str, Any]) -> None:
        numbers = {name: body[name] for name in ("epoch", "log_ratio_to_base", "log_ratio_to_last_good")}
        breach = self.parts.drift.update(Reading(**numbers, restart=body["restart"]))
        if body["epoch"] >= self._story.since:
            self._story.read, self._story.breach = True, breach

    def _measure(self) -> None:
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
                "restart": self._story.kind in RETURNS,
            },
        )
        failpoint("watch.noted")
        self._tell_watched(found.epoch, to_base)
        self._read_on()

    def _all_is_well(self) -> None:
        serving, good = self.parts.ledger.epoch(), self.parts.ledger.ref("last-good")
        if good != serving.number and serving.weights_sha256 == self._story.weights:
            failpoint("watch.good")
            self.parts.ledger.move_ref("last-good", to=serving.number, expected=good)

    def _return(self, breach: Breach) -> None:
        fields = {"detector": breach.reason, "value": breach.value, "limit": breach.limit}
        self.parts.observe(Event(kind="breach", fields={**fields, "epoch": breach.epoch}))
        roll_back(self.parts, self._refuge(), trigger="drift", detail=str(breach))
        failpoint("watch.rolled_back")
        self._read_on()

    def _refuge(self) -> int:
        """Where to go back to: last-good, unless it has the very weights that breach; then the base model."""
        good = self.parts.ledger.epoch(self.parts.ledger.ref("last-good"))
        return 0 if good.weights_sha256 == self._story.weights else good.number

    def _name_culprits(self, rollback: int) -> dict[str, str]:
        """Who among the edits that went made it too much: those go into quarantine, the others may return."""
        before = {edit.digest: edit for edit in self.parts.ledger.edits(rollback - 1)}
        standing = self.parts.ledger.edits(rollback)
        gone = [edit for digest, edit in before.items() if digest not in {e.digest for e in standing}]
        why = self.parts.ledger.epoch(rollback).reason
        guilty = {
            fact: Kept(code=BREACH, reason=why, epoch=rollback - 1) for fact in self._culprits(gone, standing)
        }
        body = {"facts": {fact: kept.to_json() for fact, kept in guilty.items()}, "after": rollback}
        self.parts.ledger.note("kept", body)
        failpoint("watch.named")
        self._read_on()
        return {fact: kept.reason for fact, kept in guilty.items()}

    def _culprits(self, gone: Sequence[WeightEdit], standing: Sequence[WeightEdit]) -> Iterable[str]:
        """Facts of the edits that fail on top of what stands; the others may be promoted again."""
        live = self.parts.ledger.live()
        trial = Trial(
            self.parts,
            serving=standing,
            others=standing,
            facts={fact.id: fact for fact in live.values() if fact.placement is Placement.MEMORY},
            live=live,
            seed=self.parts.limits.trial_seed,
        )
        known = {edit.subject: edit for edit in gone if set(edit.facts) <= trial.facts.keys()}
        trial.run(known)
        guilty = [edit for edit in known.values() if trial.guilty.keys() & set(edit.facts)]
        if not guilty and known:
            # Each is harmless beside the others' absence: the one with the largest change goes.
            guilty = [max(known.values(), key=lambda edit: edit.diagnostics.get("relative_size", 0.0))]
        return [fact for edit in guilty for fact in edit.facts]

    def _measured(self, edits: Sequence[WeightEdit]) -> Measurement:
        texts = self.parts.guard.probes_for((), {}, seed=0).texts
        return self.parts.worker.measure(edits, Probes(texts=texts))

    def _tell_watched(self, epoch: Epoch, log_ratio: float) -> None:
        fields = {"epoch": epoch.number, "probe_set": "guard", "perplexity_ratio": math.exp(log_ratio)}
        limit = self.parts.limits.drift_ratio
        self.parts.observe(Event(kind="watched", fields={**fields, "limit": limit}))


def _log_ratio(now: Measurement, before: Measurement) -> float:
    """Natural log of the perplexity ratio, paired by token; 0 without probe texts (no guard)."""
    pairs = [
        b - a
        for new, old in zip(now.logprobs, before.logprobs, strict=True)
        for a, b in zip(new, old, strict=True)
    ]
    return math.fsum(pairs) / len(pairs) if pairs else 0.0
