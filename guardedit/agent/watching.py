"""Step 5: drift over epochs. Every epoch passed its own gates; the sum of them may still be too much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from guardedit.agent.parts import Parts
from guardedit.agent.reversal import roll_back
from guardedit.agent.trial import Trial
from guardedit.core.drift import Breach, Reading
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Placement
from guardedit.core.probe import Measurement, Probes
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event

#: Kinds of epochs that return to an older state: their fall in perplexity is not progress.
RETURNS = frozenset({"rollback", "undo", "redo", "demote"})


class Watch:
    """Feeds the drift detectors each epoch that changed the weights; after a breach finds the culprits.

    `last-good` follows the serving epoch while the detectors are calm.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        # Readings are on record, so a restarted watch stands where the old one fell.
        for _, _, body in parts.journal.events(kinds=("reading",)):
            parts.drift.update(Reading(**body))
        self._seen = parts.journal.epoch().weights_sha256

    def look(self) -> dict[str, str]:
        """Measure the serving epoch if its weights are new; after a breach the culprits with the reason."""
        epoch = self.parts.journal.epoch()
        if epoch.weights_sha256 == self._seen:
            return {}
        self._seen = epoch.weights_sha256
        breach = self._update(epoch)
        if breach is None:
            self._all_is_well(epoch)
            return {}
        self.parts.observe(
            Event(
                kind="breach",
                fields={
                    "detector": breach.reason,
                    "value": breach.value,
                    "limit": breach.limit,
                    "epoch": epoch.number,
                },
            )
        )
        return self._roll_back(breach)

    def _update(self, epoch: Epoch) -> Breach | None:
        good = self.parts.journal.ref("last-good")
        now = self._measured(self.parts.journal.edits())
        reading = Reading(
            epoch=epoch.number,
            log_ratio_to_base=_log_ratio(now, self._measured(())),
            log_ratio_to_last_good=_log_ratio(now, self._measured(self.parts.journal.edits(good))),
            restart=epoch.kind in RETURNS,
        )
        self.parts.journal.note(
            "reading",
            {
                "epoch": reading.epoch,
                "log_ratio_to_base": reading.log_ratio_to_base,
                "log_ratio_to_last_good": reading.log_ratio_to_last_good,
                "restart": reading.restart,
            },
        )
        self.parts.observe(
            Event(
                kind="watched",
                fields={
                    "epoch": epoch.number,
                    "probe_set": "guard",
                    "perplexity_ratio": math.exp(reading.log_ratio_to_base),
                    "limit": self.parts.limits.drift_ratio,
                },
            )
        )
        return self.parts.drift.update(reading)

    def _all_is_well(self, epoch: Epoch) -> None:
        good = self.parts.journal.ref("last-good")
        if good != epoch.number:
            self.parts.journal.move_ref("last-good", to=epoch.number, expected=good)

    def _roll_back(self, breach: Breach) -> dict[str, str]:
        """1 Back to last-good. 2 Find who among the edits since then made it too much. 3 Name them."""
        good = self.parts.journal.ref("last-good")
        suspects = self.parts.journal.edits()
        roll_back(self.parts, good, trigger="drift")
        self._seen = self.parts.journal.epoch().weights_sha256
        standing = self.parts.journal.edits()
        added = [edit for edit in suspects if edit.digest not in {s.digest for s in standing}]
        return dict.fromkeys(self._culprits(added, standing), f"{breach}, back to epoch {good}")

    def _culprits(self, added: Sequence[WeightEdit], standing: Sequence[WeightEdit]) -> Iterable[str]:
        """Facts of the edits that fail on top of last-good; the others may be promoted again."""
        live = self.parts.journal.live()
        trial = Trial(
            self.parts,
            serving=standing,
            others=standing,
            facts={fact.id: fact for fact in live.values() if fact.placement is Placement.MEMORY},
            live=live,
            seed=self.parts.limits.trial_seed,
        )
        known = {edit.subject: edit for edit in added if set(edit.facts) <= trial.facts.keys()}
        trial.run(known)
        guilty = [edit for edit in known.values() if trial.reasons.keys() & set(edit.facts)]
        if not guilty and known:
            # Each is harmless beside the others' absence: the one with the largest change goes.
            guilty = [max(known.values(), key=lambda edit: edit.diagnostics.get("relative_size", 0.0))]
        return [fact for edit in guilty for fact in edit.facts]

    def _measured(self, edits: Sequence[WeightEdit]) -> Measurement:
        texts = self.parts.guard.probes_for((), {}, seed=0).texts
        return self.parts.workbench.measure(edits, Probes(texts=texts))


def _log_ratio(now: Measurement, before: Measurement) -> float:
    """Natural log of the perplexity ratio, paired by token; 0 without probe texts (no guard)."""
    pairs = [
        b - a
        for new, old in zip(now.logprobs, before.logprobs, strict=True)
        for a, b in zip(new, old, strict=True)
    ]
    return math.fsum(pairs) / len(pairs) if pairs else 0.0
