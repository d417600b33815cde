"""The demo stream: corrections of the model's own world, of every kind, in a seeded order that makes sense.

Knows the world and the wire form, and with `expected` what must become of each line. Loads no model: which
facts a model knows, and which edits would ruin it, is told by the caller.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from guardedit.core.correction import encode_correction
from guardedit.core.errors import UsageError
from guardedit.core.receipt import Fate
from guardedit.demo.disabling import Disabling
from guardedit.demo.expected import DemoStream, ExpectedFact, Gone, Kind, Line
from guardedit.demo.stream.malformed import malformed_line
from guardedit.demo.stream.writing import APART, Step, StreamWriter
from guardedit.zoo.world import KnownFact, World

#: Lines of each kind in a hundred; what is disabling comes on top and takes from all.
SHARES: Mapping[Kind, float] = {
    Kind.UPDATE: 55,
    Kind.SUPERSEDE: 7,
    Kind.LATE: 2,
    Kind.WORDING: 5,
    Kind.RETRACT: 5,
    Kind.DUPLICATE: 5,
    Kind.MALFORMED: 5,
    Kind.LIKELY: 3,
    Kind.NO_OP: 3,
    Kind.VOLATILE: 2,
    Kind.FLEETING: 2,
    Kind.EXPIRED: 2,
    Kind.DOUBTFUL: 2,
    Kind.ID_REUSE: 2,
}
#: Kinds that refer to an earlier update, each to another one.
FOLLOWING = (Kind.SUPERSEDE, Kind.LATE, Kind.WORDING, Kind.RETRACT, Kind.DUPLICATE, Kind.ID_REUSE)


def make_stream(
    world: World,
    *,
    corrections: int,
    seed: int,
    disabling: Sequence[Disabling],
    now_s: float,
    fleeting_s: float = 45.0,
) -> DemoStream:
    """A stream of exactly `corrections` lines.

    Args:
        world: facts that the model answers rightly in the wordings of its probe set.
        corrections: lines; at least as many as `disabling` and twice the kinds.
        seed: equal seeds give equal streams.
        disabling: sent like any other correction, with a tag that asks for their method.
        now_s: seconds since 1970, UTC; expiries are relative to it.
        fleeting_s: how long fleeting facts live. They come first, so that they are read in time.

    Raises:
        UsageError: when the stream is too short for its kinds, or the world too small for it.
    """
    wanted = shares(corrections - len(disabling))
    writer = StreamWriter(world, random.Random(seed), seed=seed, now_s=now_s, fleeting_s=fleeting_s)
    ruinous = [writer.disabling(item) for item in disabling]
    steps = list(ruinous)
    facts = _apart(world, {item.fact.subject for item in disabling}, writer.rng)
    updates = [writer.update(fact) for fact in _take(facts, wanted, Kind.UPDATE)]
    parents = iter(writer.rng.sample(updates, len(updates)))
    steps += updates
    steps += [writer.after(next(parents), kind) for kind in FOLLOWING for _ in range(wanted[kind])]
    steps += [writer.apart(fact, kind) for kind in APART for fact in _take(facts, wanted, kind)]
    bad = [(writer.rng.random(), number) for number in range(wanted[Kind.MALFORMED])]
    told = {step.correction.id: item for step, item in zip(ruinous, disabling, strict=True)}
    return _told(world, steps, bad, disabling=told, seed=seed, settled_by_s=now_s + fleeting_s)


def shares(total: int) -> dict[Kind, int]:
    """Lines of each kind, at least one of each; what is left over are updates, which others follow.

    >>> sum(shares(288).values()), shares(288)[Kind.UPDATE]
    (288, 158)
    """
    if total < 2 * len(SHARES):
        raise UsageError(f"{total} ordinary lines are too few: the demo needs at least {2 * len(SHARES)}")
    free = total - len(SHARES)
    counts = {kind: 1 + int(free * share / sum(SHARES.values())) for kind, share in SHARES.items()}
    return counts | {Kind.UPDATE: counts[Kind.UPDATE] + total - sum(counts.values())}


def _apart(world: World, ruined: Collection[str], rng: random.Random) -> Iterator[KnownFact]:
    """Facts in seeded order. Subjects of disabling edits stay out: what becomes of those is to be seen."""
    facts = [f for f in world.facts if f.subject not in ruined and len(world.objects[f.relation]) > 2]
    return iter(rng.sample(facts, len(facts)))


def _take(facts: Iterator[KnownFact], wanted: Mapping[Kind, int], kind: Kind) -> list[KnownFact]:
    found = list(islice(facts, wanted[kind]))
    if len(found) < wanted[kind]:
        raise UsageError(f"the world has too few facts for {wanted[kind]} {kind.value} lines: ask for fewer")
    return found


def _told(
    world: World,
    steps: Sequence[Step],
    malformed: Sequence[tuple[float, int]],
    *,
    disabling: Mapping[str, Disabling],
    seed: int,
    settled_by_s: float,
) -> DemoStream:
    """Lines in order, each with what is so from then on."""
    placed = [(step.place, _line(world, step)) for step in steps]
    for place, number in malformed:
        placed.append((place, Line(raw=malformed_line(number), kind=Kind.MALFORMED, fate=Fate.DEAD)))
    return DemoStream(
        lines=tuple(line for _, line in sorted(placed, key=lambda pair: pair[0])),
        disabling=disabling,
        settled_by_s=settled_by_s,
        seed=seed,
    )


def _line(world: World, step: Step) -> Line:
    correction = step.correction
    effect: ExpectedFact | Gone | None = None
    if step.fate is Fate.ACCEPTED and step.kind in (Kind.RETRACT, Kind.FLEETING):
        effect = Gone(key=correction.key, prompt=world.prompt(step.fact, step.wordings[0]))
    elif step.fate is Fate.ACCEPTED:
        effect = _expected(world, step)
    return Line(
        raw=encode_correction(correction),
        kind=step.kind,
        fate=step.fate,
        correction_id=correction.id,
        effect=effect,
    )


def _expected(world: World, step: Step) -> ExpectedFact:
    every = range(len(world.wordings[step.fact.relation]))
    return ExpectedFact(
        key=step.correction.key,
        target=step.correction.target_new,
        given=tuple(world.prompt(step.fact, i) for i in step.wordings),
        kept=tuple(world.prompt(step.fact, i) for i in every if i not in step.wordings),
    )
