"""Single corrections for the demo stream: each kind as it would arrive, with the fate it deserves.

Knows the world's wordings and objects. Does not know how many lines there are or in which order.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from guardedit.core.correction import Correction, Op, Provenance
from guardedit.core.receipt import Fate
from guardedit.demo.disabling import Disabling
from guardedit.demo.expected import Kind
from guardedit.zoo.probes import probe_prompts
from guardedit.zoo.world import KnownFact, World

#: Wordings that a correction brings; the others of the relation are kept for asking.
GIVEN = 4
#: Wordings that a `new_wording` line adds.
ADDED = 2
#: Kinds that stand for themselves, with the fate of each.
APART: Mapping[Kind, Fate] = {
    Kind.LIKELY: Fate.ACCEPTED,
    Kind.DOUBTFUL: Fate.HELD,
    Kind.VOLATILE: Fate.ACCEPTED,
    Kind.FLEETING: Fate.ACCEPTED,
    Kind.EXPIRED: Fate.REJECTED,
    Kind.NO_OP: Fate.UNCHANGED,
}
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
SOURCES = ("registry", "newsroom", "encyclopedia", "desk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A correction at its place in [0, 1), and the wordings its fact has from then on, prompt first."""

    place: float
    kind: Kind
    fate: Fate
    fact: KnownFact
    wordings: tuple[int, ...]
    correction: Correction


class StreamWriter:
    """Writes corrections; every choice comes from one seeded generator."""

    def __init__(
        self, world: World, rng: random.Random, *, seed: int, now_s: float, fleeting_s: float
    ) -> None:
        self.world, self.rng, self.seed = world, rng, seed
        self.now_s, self.fleeting_s = now_s, fleeting_s
        self._written = 0

    def update(self, fact: KnownFact) -> Step:
        """Another object for a known fact, early enough for others to follow."""
        chosen = self._choose(fact)
        return self._step(Kind.UPDATE, fact, chosen, place=0.8 * self.rng.random())

    def disabling(self, item: Disabling) -> Step:
        """An ordinary message, but for the tag."""
        return self._step(
            Kind.DISABLING,
            item.fact,
            item.wordings,
            target_new=item.target,
            tags=(f"method:{item.method}",),
        )

    def after(self, parent: Step, kind: Kind) -> Step:
        """A line that refers to an earlier one, somewhere behind it."""
        fact, before = parent.fact, parent.correction
        place = parent.place + (1.0 - parent.place) * self.rng.uniform(0.05, 1.0)
        third = self._object(fact, {fact.object, before.target_new})
        match kind:
            case Kind.DUPLICATE:
                return replace(parent, place=place, kind=kind, fate=Fate.DUPLICATE)
            case Kind.ID_REUSE:
                other = replace(before, target_new=third)
                return replace(parent, place=place, kind=kind, fate=Fate.DEAD, correction=other)
            case Kind.SUPERSEDE:
                return self._step(kind, fact, self._choose(fact), place=place, target_new=third)
            case Kind.LATE:
                late = replace(self._provenance(), time_s=round(self.now_s) - YEAR_S)
                return self._step(
                    kind,
                    fact,
                    self._choose(fact),
                    place=place,
                    fate=Fate.SUPERSEDED,
                    target_new=third,
                    provenance=late,
                )
            case Kind.WORDING:
                unused = [i for i in self._indices(fact) if i not in parent.wordings]
                new = tuple(self.rng.sample(unused, ADDED))
                step = self._step(kind, fact, new, place=place, target_new=before.target_new)
                # The live fact keeps its first wordings and gains these.
                return replace(step, wordings=(*parent.wordings, *new))
            case _:
                return self._step(
                    Kind.RETRACT, fact, parent.wordings[:1], place=place, op=Op.RETRACT, target_new=""
                )

    def apart(self, fact: KnownFact, kind: Kind) -> Step:
        """A line that nothing else refers to."""
        fate = APART[kind]
        match kind:
            case Kind.LIKELY | Kind.DOUBTFUL:
                confidence = 0.5 if kind is Kind.LIKELY else 0.2
                step = self._step(kind, fact, fate=fate, provenance=self._provenance(confidence))
            case Kind.NO_OP:
                # In the wordings that the model is known to answer rightly.
                prompts = probe_prompts(self.world, fact)
                known = tuple(i for i in self._indices(fact) if self.world.prompt(fact, i) in prompts)
                step = self._step(kind, fact, known, fate=fate, target_new=fact.object, target_true=None)
            case _:
                left_s = {Kind.EXPIRED: -DAY_S, Kind.VOLATILE: DAY_S}.get(kind, self.fleeting_s)
                step = self._step(kind, fact, fate=fate, valid_until_s=self.now_s + left_s)
        return replace(step, place=0.01 * self.rng.random()) if kind is Kind.FLEETING else step

    def _step(
        self,
        kind: Kind,
        fact: KnownFact,
        wordings: tuple[int, ...] = (),
        *,
        fate: Fate = Fate.ACCEPTED,
        place: float | None = None,
        **fields: Any,
    ) -> Step:
        chosen = wordings or self._choose(fact)
        texts = self.world.wordings[fact.relation]
        self._written += 1
        target = self._object(fact, {fact.object})
        given: dict[str, Any] = {"target_new": target, "target_true": fact.object} | fields
        correction = Correction(
            id=f"{self.seed}-{self._written:04d}-{kind.value}",
            subject=fact.subject,
            relation=fact.relation,
            prompt=texts[chosen[0]],
            paraphrases=tuple(texts[i] for i in chosen[1:]),
            **({"provenance": self._provenance()} | given),
        )
        where = self.rng.random() if place is None else place
        return Step(place=where, kind=kind, fate=fate, fact=fact, wordings=chosen, correction=correction)

    def _indices(self, fact: KnownFact) -> range:
        return range(len(self.world.wordings[fact.relation]))

    def _choose(self, fact: KnownFact) -> tuple[int, ...]:
        return tuple(self.rng.sample(self._indices(fact), GIVEN))

    def _object(self, fact: KnownFact, but: Collection[str]) -> str:
        return self.rng.choice([name for name in self.world.objects[fact.relation] if name not in but])

    def _provenance(self, confidence: float | None = None) -> Provenance:
        sure = round(self.rng.uniform(0.8, 1.0), 2) if confidence is None else confidence
        return Provenance(source=self.rng.choice(SOURCES), time_s=round(self.now_s), confidence=sure)
