"""Of several facts in scope of one question: which are given, and which are set aside in favour of another.

Facts agree unless they have one key, apart from spelling and tenant, and different targets. Targets of a
many-valued relation have keys of their own, so they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey
from guardedit.naming import identity, key_name


class SetAside(NamedTuple):
    """A fact that is not given, the fact that is given in its place, and why, for people."""

    fact: Fact
    instead: Fact
    reason: str


class Resolved(NamedTuple):
    """The facts to give, in the order in which they came, and those set aside."""

    given: list[Fact]
    set_aside: list[SetAside]


def resolve(facts: Sequence[Fact], *, now_s: float, trust: Callable[[Fact], float] | None = None) -> Resolved:
    """Which of these facts hold together.

    Facts that do not hold at `now_s` are set aside where another of their key does. Of the rest, the fact of
    a tenant comes before one of `default`, then the higher version, then the more trusted source, then the
    later report; then the one that comes first in `facts`. All facts with the target of the winner are given.

    Args:
        facts: facts in scope of a question, the best match first; any number.
        now_s: the time that the question asks about, seconds since 1970, UTC.
        trust: how far the source of a fact is trusted, larger is more; None: all alike.

    >>> old = Fact(key=FactKey("Apple", "CEO"), version=1, correction_id="a", wordings=("?",), target="OLD")
    >>> new = Fact(key=FactKey("APPLE", "ceo"), version=2, correction_id="b", wordings=("?",), target="NEW")
    >>> found = resolve([old, new], now_s=0.0)
    >>> [fact.target for fact in found.given], found.set_aside[0].reason
    (['NEW'], 'version 1 is older than version 2')
    """
    best: dict[FactKey, Fact] = {}
    for fact in facts:
        name = _name(fact)
        if name not in best or _rank(fact, now_s, trust) > _rank(best[name], now_s, trust):
            best[name] = fact
    given, aside = list[Fact](), list[SetAside]()
    for fact in facts:
        winner = best[_name(fact)]
        if identity(fact.target) == identity(winner.target) and holds(fact, now_s) == holds(winner, now_s):
            given.append(fact)
        else:
            aside.append(SetAside(fact, winner, _why(fact, winner, now_s, trust)))
    return Resolved(given, aside)


def holds(fact: Fact, now_s: float) -> bool:
    """Whether a fact has begun and has not ended at `now_s`, seconds since 1970, UTC."""
    begun = fact.valid_from_s is None or fact.valid_from_s <= now_s
    return begun and not fact.expired(now_s)


class _Rank(NamedTuple):
    """What decides between two facts, in this order; the larger wins."""

    holds: bool
    own: bool
    version: int
    trust: float
    reported_at_s: float


def _rank(fact: Fact, now_s: float, trust: Callable[[Fact], float] | None) -> _Rank:
    return _Rank(
        holds=holds(fact, now_s),
        own=fact.key.tenant != "default",
        version=fact.version,
        trust=trust(fact) if trust else 0.0,
        reported_at_s=float("-inf") if fact.reported_at_s is None else fact.reported_at_s,
    )


def _name(fact: Fact) -> FactKey:
    return key_name(fact.key)._replace(tenant="")


def _why(fact: Fact, winner: Fact, now_s: float, trust: Callable[[Fact], float] | None) -> str:
    lost, won = _rank(fact, now_s, trust), _rank(winner, now_s, trust)
    if lost.holds != won.holds:
        return "it does not hold at that time"
    if lost.own != won.own:
        return "the tenant has a fact of its own"
    if lost.version != won.version:
        return f"version {lost.version} is older than version {won.version}"
    if lost.trust != won.trust:
        return "its source is trusted less"
    if lost.reported_at_s != won.reported_at_s:
        return "it was reported earlier" if fact.reported_at_s is not None else "its report has no time"
    return "the other fits the question better"
