"""Builds the demo stream: corrections of every kind about the model's own world, in a seeded, sensible order.

Loads no model: the caller says which facts the model knows and which edits would ruin it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from guardedit.core.correction import encode_correction
from guardedit.core.errors import UsageError
from guardedit.core.messages import Fate
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.stream.expected import DemoStream, ExpectedFact, Line, LineKind, RemovedFact
from guardedit.demo.stream.malformed import malformed_line
from guardedit.demo.stream.writing import STANDALONE, PlacedCorrection, StreamWriter
from guardedit.demo.worlds.stream_world import StreamWorld
from guardedit.zoo.world import KnownFact

#: Lines of each kind in a hundred ordinary lines. Disabling lines come on top.
SHARES: Mapping[LineKind, float] = {
    LineKind.UPDATE: 55,
    LineKind.SUPERSEDE: 7,
    LineKind.LATE: 2,
    LineKind.WORDING: 5,
    LineKind.RETRACT: 5,
    LineKind.DUPLICATE: 5,
    LineKind.MALFORMED: 5,
    LineKind.LIKELY: 3,
    LineKind.NO_OP: 3,
    LineKind.VOLATILE: 2,
    LineKind.FLEETING: 2,
    LineKind.EXPIRED: 2,
    LineKind.DOUBTFUL: 2,
    LineKind.ID_REUSE: 2,
}
#: Kinds that refer to an earlier update. No two lines refer to the same update.
FOLLOWING = (
    LineKind.SUPERSEDE,
    LineKind.LATE,
    LineKind.WORDING,
    LineKind.RETRACT,
    LineKind.DUPLICATE,
    LineKind.ID_REUSE,
)


def make_stream(
    world: StreamWorld,
    *,
    corrections: int,
    seed: int,
    disabling: Sequence[DisablingEdit],
    now_s: float,
    fleeting_s: float = 45.0,
    known_fate: Fate = Fate.UNCHANGED,
) -> DemoStream:
    """A stream of exactly `corrections` lines.

    Args:
        world: facts that the model answers correctly in the wordings of its probe set.
        corrections: number of lines; at least `len(disabling)` plus two per ordinary kind.
        seed: equal seeds give equal streams.
        disabling: sent like any other correction, with a tag that asks for their method.
        now_s: seconds since 1970, UTC; expiry times are relative to it.
        fleeting_s: lifetime of fleeting facts. They come first, so that they are read in time.
        known_fate: fate of a correction that states what the model answers already.

    Raises:
        UsageError: when the stream is too short for its kinds, or the world too small for the stream.
    """
    wanted = shares(corrections - len(disabling))
    writer = StreamWriter(
        world, random.Random(seed), seed=seed, now_s=now_s, fleeting_s=fleeting_s, known_fate=known_fate
    )
    ruinous = [writer.disabling(item) for item in disabling]
    written = list(ruinous)
    facts = _ordinary_facts(world, {item.fact.subject for item in disabling}, writer.rng)
    updates = [writer.update(fact) for fact in _take(facts, wanted, LineKind.UPDATE)]
    parents = iter(writer.rng.sample(updates, len(updates)))
    written += updates
    written += [writer.follow_up(next(parents), kind) for kind in FOLLOWING for _ in range(wanted[kind])]
    written += [writer.standalone(fact, kind) for kind in STANDALONE for fact in _take(facts, wanted, kind)]
    malformed = [(writer.rng.random(), number) for number in range(wanted[LineKind.MALFORMED])]
    by_id = {one.correction.id: item for one, item in zip(ruinous, disabling, strict=True)}
    return _assemble(world, written, malformed, disabling=by_id, seed=seed, settled_by_s=now_s + fleeting_s)


def shares(total: int) -> dict[LineKind, int]:
    """Number of ordinary lines of each kind, at least one. The remainder are updates.

    >>> sum(shares(288).values()), shares(288)[LineKind.UPDATE]
    (288, 158)
    """
    if total < 2 * len(SHARES):
        raise UsageError(
            f"{total} ordinary lines are too few: the demo needs at least {2 * len(SHARES)} "
            "besides the disabling ones"
        )
    free = total - len(SHARES)
    counts = {kind: 1 + int(free * share / sum(SHARES.values())) for kind, share in SHARES.items()}
    return counts | {LineKind.UPDATE: counts[LineKind.UPDATE] + total - sum(counts.values())}


def _ordinary_facts(world: StreamWorld, excluded: Collection[str], rng: random.Random) -> Iterator[KnownFact]:
    """Facts in seeded order, without the subjects of disabling edits: no other line may concern those."""
    facts = [f for f in world.facts if f.subject not in excluded and len(world.objects[f.relation]) > 2]
    return iter(rng.sample(facts, len(facts)))


def _take(facts: Iterator[KnownFact], wanted: Mapping[LineKind, int], kind: LineKind) -> list[KnownFact]:
    found = list(islice(facts, wanted[kind]))
    if len(found) < wanted[kind]:
        raise UsageError(f"the world has too few facts for {wanted[kind]} {kind.value} lines: ask for fewer")
    return found


def _assemble(
    world: StreamWorld,
    written: Sequence[PlacedCorrection],
    malformed: Sequence[tuple[float, int]],
    *,
    disabling: Mapping[str, DisablingEdit],
    seed: int,
    settled_by_s: float,
) -> DemoStream:
    """All lines in order. `malformed` has the place and number of each malformed line."""
    placed = [(one.place, _line(world, one)) for one in written]
    for place, number in malformed:
        placed.append((place, Line(raw=malformed_line(number), kind=LineKind.MALFORMED, fate=Fate.DEAD)))
    return DemoStream(
        lines=tuple(line for _, line in sorted(placed, key=lambda pair: pair[0])),
        disabling=disabling,
        settled_by_s=settled_by_s,
        seed=seed,
    )


def _line(world: StreamWorld, one: PlacedCorrection) -> Line:
    correction = one.correction
    effect: ExpectedFact | RemovedFact | None = None
    if one.fate is Fate.ACCEPTED and one.kind in (LineKind.RETRACT, LineKind.FLEETING):
        effect = RemovedFact(key=correction.key, prompt=world.prompt(one.fact, one.wordings[0]))
    elif one.fate is Fate.ACCEPTED:
        effect = _expected(world, one)
    return Line(
        raw=encode_correction(correction),
        kind=one.kind,
        fate=one.fate,
        correction_id=correction.id,
        effect=effect,
    )


def _expected(world: StreamWorld, one: PlacedCorrection) -> ExpectedFact:
    every = range(len(world.wordings[one.fact.relation]))
    return ExpectedFact(
        key=one.correction.key,
        target=one.correction.target_new,
        given=tuple(world.prompt(one.fact, i) for i in one.wordings),
        unseen=tuple(world.prompt(one.fact, i) for i in every if i not in one.wordings),
    )
