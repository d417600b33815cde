"""Writes single corrections for the demo stream, each with its expected fate."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from guardedit.core.correction import Correction, Op, Provenance
from guardedit.core.messages import Fate
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.stream.expected import LineKind
from guardedit.demo.worlds.stream_world import StreamWorld
from guardedit.zoo.world import KnownFact

#: Wordings that a `new_wording` line adds.
ADDED = 2
#: Kinds of lines that no other line refers to -> their fate.
STANDALONE: Mapping[LineKind, Fate] = {
    LineKind.LIKELY: Fate.ACCEPTED,
    LineKind.DOUBTFUL: Fate.HELD,
    LineKind.VOLATILE: Fate.ACCEPTED,
    LineKind.FLEETING: Fate.ACCEPTED,
    LineKind.EXPIRED: Fate.REJECTED,
    LineKind.NO_OP: Fate.UNCHANGED,  # where the model answers with the object alone
}
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
SOURCES = ("registry", "newsroom", "encyclopedia", "desk")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCorrection:
    """A correction and its position in the stream.

    Attributes:
        place: position in [0, 1).
        kind: kind of the line.
        fate: the expected one.
        fact: the known fact that it is about.
        wordings: indices of the wordings that the live fact has from then on, the prompt's first.
        correction: the correction to send.
    """

    place: float
    kind: LineKind
    fate: Fate
    fact: KnownFact
    wordings: tuple[int, ...]
    correction: Correction


class StreamWriter:
    """Writes corrections. Every choice comes from one seeded generator.

    Args:
        world: known facts.
        rng: generator of all choices.
        seed: used in the ids of the corrections.
        now_s: seconds since 1970, UTC.
        fleeting_s: lifetime of fleeting facts.
        known_fate: fate of a correction that states what the model answers already.
    """

    def __init__(
        self,
        world: StreamWorld,
        rng: random.Random,
        *,
        seed: int,
        now_s: float,
        fleeting_s: float,
        known_fate: Fate = Fate.UNCHANGED,
    ) -> None:
        self.world, self.rng, self.seed = world, rng, seed
        self.now_s, self.fleeting_s, self.known_fate = now_s, fleeting_s, known_fate
        self._written = 0

    def update(self, fact: KnownFact) -> PlacedCorrection:
        """Another object for a known fact, early enough for lines that refer to it."""
        chosen = self._choose(fact)
        return self._write(LineKind.UPDATE, fact, chosen, place=0.8 * self.rng.random())

    def disabling(self, item: DisablingEdit) -> PlacedCorrection:
        """An ordinary correction, except for the tag that asks for the method."""
        return self._write(
            LineKind.DISABLING,
            item.fact,
            item.wordings,
            target_new=item.target,
            tags=(f"method:{item.method}",),
        )

    def follow_up(self, parent: PlacedCorrection, kind: LineKind) -> PlacedCorrection:
        """A line that refers to `parent` and comes after it."""
        fact, earlier = parent.fact, parent.correction
        place = parent.place + (1.0 - parent.place) * self.rng.uniform(0.05, 1.0)
        third = self._object(fact, {fact.object, earlier.target_new})
        match kind:
            case LineKind.DUPLICATE:
                return replace(parent, place=place, kind=kind, fate=Fate.DUPLICATE)
            case LineKind.ID_REUSE:
                other = replace(earlier, target_new=third)
                return replace(parent, place=place, kind=kind, fate=Fate.DEAD, correction=other)
            case LineKind.SUPERSEDE:
                return self._write(kind, fact, self._choose(fact), place=place, target_new=third)
            case LineKind.LATE:
                late = replace(self._provenance(), time_s=round(self.now_s) - YEAR_S)
                return self._write(
                    kind,
                    fact,
                    self._choose(fact),
                    place=place,
                    fate=Fate.SUPERSEDED,
                    target_new=third,
                    provenance=late,
                )
            case LineKind.WORDING:
                unused = [i for i in self._indices(fact) if i not in parent.wordings]
                new = tuple(self.rng.sample(unused, min(ADDED, len(unused) - 1)))
                written = self._write(kind, fact, new, place=place, target_new=earlier.target_new)
                # The live fact keeps its first wordings and gains these.
                return replace(written, wordings=(*parent.wordings, *new))
            case _:
                return self._write(
                    LineKind.RETRACT, fact, parent.wordings[:1], place=place, op=Op.RETRACT, target_new=""
                )

    def standalone(self, fact: KnownFact, kind: LineKind) -> PlacedCorrection:
        """A line of one of the `STANDALONE` kinds."""
        fate = STANDALONE[kind]
        match kind:
            case LineKind.LIKELY | LineKind.DOUBTFUL:
                confidence = 0.5 if kind is LineKind.LIKELY else 0.2
                written = self._write(kind, fact, fate=fate, provenance=self._provenance(confidence))
            case LineKind.NO_OP:
                # In the wordings that the model is known to answer correctly.
                written = self._write(
                    kind,
                    fact,
                    self.world.known(fact),
                    fate=self.known_fate,
                    target_new=fact.object,
                    target_true=None,
                )
            case _:
                left_s = {LineKind.EXPIRED: -DAY_S, LineKind.VOLATILE: DAY_S}.get(kind, self.fleeting_s)
                written = self._write(kind, fact, fate=fate, valid_until_s=self.now_s + left_s)
        return replace(written, place=0.01 * self.rng.random()) if kind is LineKind.FLEETING else written

    def _write(
        self,
        kind: LineKind,
        fact: KnownFact,
        wordings: tuple[int, ...] = (),
        *,
        fate: Fate = Fate.ACCEPTED,
        place: float | None = None,
        **fields: Any,
    ) -> PlacedCorrection:
        """A correction with random wordings, target, provenance and place, where they are not given."""
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
        return PlacedCorrection(
            place=self.rng.random() if place is None else place,
            kind=kind,
            fate=fate,
            fact=fact,
            wordings=chosen,
            correction=correction,
        )

    def _indices(self, fact: KnownFact) -> range:
        return range(len(self.world.wordings[fact.relation]))

    def _choose(self, fact: KnownFact) -> tuple[int, ...]:
        return self.world.given(fact, self.rng)

    def _object(self, fact: KnownFact, excluded: Collection[str]) -> str:
        objects = self.world.objects[fact.relation]
        return self.rng.choice([name for name in objects if name not in excluded])

    def _provenance(self, confidence: float | None = None) -> Provenance:
        certain = round(self.rng.uniform(0.8, 1.0), 2) if confidence is None else confidence
        return Provenance(source=self.rng.choice(SOURCES), time_s=round(self.now_s), confidence=certain)
