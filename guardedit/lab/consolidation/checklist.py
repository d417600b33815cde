"""The checklist of a correction benchmark: each a number between 0 and 1, and what it should be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from guardedit.core.correction import decode_correction
from guardedit.core.fact import Fact
from guardedit.core.messages import Fate
from guardedit.core.protocols import Clock
from guardedit.lab.consolidation.measure import NAN
from guardedit.lab.consolidation.numbered import NumberedFact, Pair
from guardedit.lab.consolidation.store import FactStore
from guardedit.memory.store import RetrievalMemory
from guardedit.naming import identity, key_name

#: Questions about subjects of the list that no fact of MQuAKE answers, and none that fills the list.
UNASKED = ("What colour is {}?", "How heavy is {}?", "What does {} cost?", "Who photographed {} first?")


class Item(NamedTuple):
    """One line of the checklist: a share, the number of cases behind it, and the share that it should be."""

    name: str
    share: float
    cases: int
    wanted: float


def checklist(
    facts: Sequence[NumberedFact],
    memory: RetrievalMemory,
    folder: Path,
    *,
    most: int,
    seed: int,
    clock: Clock,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Item]:
    """Go through the checklist on a list of numbered facts.

    The old facts are sent first. Then `most` of the new ones are sent one at a time, and each is asked for
    at once. The others stay as they are, so that they show what a correction changes besides its own fact.

    - uptake: asked right after it was accepted, a new fact answers.
    - resurrection: an old target answers again, after its message was repeated under a new id and the memory
      was made anew from the ledger.
    - collateral: the answer about another fact changed.
    - scope: a question that no fact answers gets no fact.
    - provenance: the ledger names the message behind a fact that answers, and that message says the same.

    Args:
        facts: the list.
        memory: an empty memory.
        folder: for the ledger.
        most: number of corrections.
        seed: of their choice.
        clock: seconds since 1970, UTC.
        tell: called with a line of text when a stage begins.
    """
    store = FactStore(folder, memory, clock)
    try:
        olds = [one for one in facts if not one.is_new]
        news = [one for one in facts if one.is_new]
        sent = random.Random(seed).sample(news, min(most, len(news)))
        tell(f"sending {len(olds)} old facts")
        store.send([one.message() for one in olds], name="old")
        numbers = {one.number for one in sent}
        untouched = [one.pair for one in news if one.number not in numbers]
        before = store.in_scope(_prompts(untouched))
        tell(f"sending {len(sent)} new facts one at a time")
        uptake = [_uptake(store, one) for one in sent]
        after = store.in_scope(_prompts(untouched))
        changed = [old != new for old, new in zip(before, after, strict=True)]
        tell("sending the old facts again")
        again = _again(store, olds, {one.pair.key for one in sent})
        store.memory.rebuild(list(store.ledger.live().values()))
        given = store.in_scope(_prompts([one.pair for one in sent]))
        risen = [_says(fact, one.pair.old) for fact, one in zip(given, sent, strict=True)]
        unasked = [UNASKED[n % len(UNASKED)].format(one.pair.subject) for n, one in enumerate(sent)]
        out = [fact is None for fact in store.in_scope(unasked)]
        return [
            _item("uptake at once", uptake, 1.0),
            _item("old reports refused", again, 1.0),
            _item("resurrection", risen, 0.0),
            _item("collateral", changed, 0.0),
            _item("scope precision", out, 1.0),
            _item("provenance", _have_origins(store, given), 1.0),
        ]
    finally:
        store.close()


def _uptake(store: FactStore, one: NumberedFact) -> bool:
    store.send([one.message()], name=f"new {one.number}")
    return _says(store.in_scope(_prompts([one.pair]))[0], one.target)


def _again(store: FactStore, olds: Sequence[NumberedFact], keys: set[tuple[str, str]]) -> list[bool]:
    """Whether each old report about these keys, under a new id, stays what it is: older."""
    messages = [
        one.message().replace(f'"n{one.number}"'.encode(), f'"again{one.number}"'.encode())
        for one in olds
        if one.pair.key in keys
    ]
    return [fate is Fate.SUPERSEDED for fate in store.send(messages, name="again")]


def _have_origins(store: FactStore, facts: Sequence[Fact | None]) -> list[bool]:
    """For each fact, whether the accepted message of its correction says what the fact says."""
    accepted = {row.correction_id: row.raw for row in store.ledger.entries(Fate.ACCEPTED, limit=-1)}
    return [_follows(fact, accepted.get(fact.correction_id, b"")) for fact in facts if fact is not None]


def _follows(fact: Fact, raw: bytes) -> bool:
    if not raw:
        return False
    said = decode_correction(raw, recorded=True)
    return key_name(said.key) == key_name(fact.key) and said.target_new == fact.target


def _prompts(pairs: Sequence[Pair]) -> list[str]:
    return [pair.prompt.format(pair.subject) for pair in pairs]


def _says(fact: Fact | None, target: str) -> bool:
    return fact is not None and identity(fact.target) == identity(target)


def _item(name: str, cases: Sequence[bool], wanted: float) -> Item:
    return Item(name, sum(cases) / len(cases) if cases else NAN, len(cases), wanted)
