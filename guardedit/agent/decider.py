"""Step 2 for a batch: each message sees the live facts, and what the earlier ones of the batch made of them.

Asks the policy and, where a correction may be no news, the model. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from guardedit.agent.deciding import Known, read, repeated, settle
from guardedit.agent.parts import Parts
from guardedit.core.correction import Correction, Op, content_sha256
from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import CorrectionError, GuardError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Kind, Probes, Question
from guardedit.core.protocols import Event, Received, Settlement
from guardedit.core.receipt import Fate


class Decider:
    """From waiting messages to settlements."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """One settlement for each message, in order; later ones see the earlier ones."""
        live = dict(self.parts.journal.live())
        seen: dict[str, str] = {}  # ids of this batch
        versions: dict[FactKey, int] = {}
        known = Known(
            live=live,
            latest=lambda key: versions.get(key, self.parts.journal.latest_version(key)),
            content=lambda name: seen.get(name) or self.parts.journal.known(name),
        )
        corrections = [read(received, self.parts.check) for received in pending]
        already = self._already([c for c in corrections if isinstance(c, Correction)], live)
        settlements: list[Settlement] = []
        for received, correction in zip(pending, corrections, strict=True):
            if isinstance(correction, Settlement):
                settlement = correction
            else:
                settlement = repeated(received, correction, known) or self._decided(
                    received, correction, known, already=correction.id in already
                )
                seen.setdefault(correction.id, content_sha256(correction))
                if change := settlement.change:
                    _apply(live, change)
                    if change.fact:
                        versions[change.key] = change.fact.version
            settlements.append(settlement)
            if settlement.fate is Fate.DEAD:
                code, _, detail = settlement.reason.partition(": ")
                fields = {"source": received.source, "reason": code, "detail": detail}
                self.parts.observe(Event(kind="dead_lettered", fields=fields))
        return settlements

    def _decided(
        self, received: Received, correction: Correction, known: Known, *, already: bool
    ) -> Settlement:
        decision = self.parts.decide(correction, self._context(correction))
        if decision.route is Route.HOLD and self.parts.journal.released(received.seq):
            decision = replace(decision, route=Route.MEMORY, reason=f"released; was: {decision.reason}")
        fields = {
            "source": received.source,
            "route": decision.route.value,
            "rule": decision.rule,
            "reason": decision.reason,
        }
        self.parts.observe(Event(kind="decided", correction_id=correction.id, fields=fields))
        return settle(received, correction, decision, known, already=already)

    def _context(self, correction: Correction) -> Mapping[str, object]:
        now = self.parts.clock()
        return {
            "now_s": now,
            "subject_edits_24h": self.parts.journal.subject_edits(correction.subject, since_s=now - 86_400),
            "known_subject": bool(self.parts.known_questions(correction.subject)),
        }

    def _already(self, corrections: Iterable[Correction], live: Mapping[FactKey, Fact]) -> set[str]:
        """Ids of corrections that the serving weights answer as wanted, in every wording."""
        asked = [c for c in corrections if c.op is Op.UPSERT and c.key not in live]
        questions = tuple(
            Question(prompt=wording, kind=Kind.RELIABILITY) for c in asked for wording in c.wordings
        )
        if not questions:
            return set()
        try:
            found = self.parts.workbench.measure(
                self.parts.journal.edits(), Probes(texts=(), questions=questions)
            ).answers
        except (GuardError, CorrectionError):
            return set()  # only a saving is lost: the corrections are settled as news
        return {c.id for c in asked if all(found.get(w) == c.target_new for w in c.wordings)}


def _apply(live: dict[FactKey, Fact], change: Change) -> None:
    if change.fact is None:
        live.pop(change.key, None)
    else:
        live[change.key] = change.fact
