"""Pure: from what is known of a destination to the next step. Knows no network and no ledger.

The order: record what was lost, bring what is needed to every replica, switch when enough have it, then
delete what is no longer needed. Each step leaves the destination as good as it was, so a kill between any
two of them is repaired by asking again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: Replica and name.
Place = tuple[str, str]


class Step(NamedTuple):
    """One thing to do. `notice` and `lose` only record what was found; `activate` has no replica."""

    action: Literal["notice", "lose", "prepare", "confirm", "activate", "retire"]
    replica: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is known of a destination.

    Attributes:
        wanted, epoch: the name to switch to, and the epoch that it stands for.
        replicas: as configured.
        needed: how many must have a name before the destination switches to it.
        phases: what the ledger says that each replica has: `preparing`, `prepared` or `confirmed`.
        present: replica -> names that are really there; replicas that cannot be reached are missing.
        failed: where a step failed a moment ago; the replica is "" for the switch of a fleet too. Other names
            go on there: what is active and cannot be brought back must not hold up what is wanted.
        active: name and epoch that the ledger says the destination answers from.
        shown: the name that the destination itself says it answers from; None where it does not say.
        replaced_at_s: name -> when the destination switched away from it; names never active are missing.
        permanent, drain_s, keep: as for `Destination`.
        restores: whether the active name can be brought to a replica without a bundle.
        now_s: the present time, seconds since 1970, UTC.
    """

    wanted: str
    epoch: int
    replicas: Sequence[str]
    needed: int
    phases: Mapping[Place, str]
    present: Mapping[str, frozenset[str]]
    failed: frozenset[Place]
    active: tuple[str, int] | None
    shown: str | None
    replaced_at_s: Mapping[str, float | None]
    permanent: frozenset[str]
    restores: bool
    drain_s: float
    keep: int
    now_s: float

    @property
    def reachable(self) -> list[str]:
        """The replicas that answered."""
        return [replica for replica in self.replicas if replica in self.present]

    @property
    def confirmed(self) -> list[str]:
        """The replicas that were seen to have the wanted name, confirmed."""
        have = [one for one in self.replicas if self.phases.get((one, self.wanted)) == "confirmed"]
        return [one for one in have if self.wanted in self.present.get(one, ())]

    @property
    def is_active(self) -> bool:
        """Whether the destination answers from the wanted epoch."""
        return self.active == (self.wanted, self.epoch) and self.shown in (None, self.wanted)


def next_step(view: View) -> Step | None:
    """The next step; None when there is nothing to do, or nothing that can be done now."""
    return next((step for step in _steps(view) if (step.replica, step.name) not in view.failed), None)


def _steps(view: View) -> Iterator[Step]:
    if view.shown and view.shown != (view.active or ("",))[0] and ("", view.shown) in view.phases:
        yield Step("notice", "", view.shown)  # by hand, or by a publisher that was killed before it said so
    needed = _needed_names(view)
    for (replica, name), phase in view.phases.items():
        if replica not in view.replicas:
            yield Step("retire", replica, name)
        elif phase != "preparing" and name not in view.present.get(replica, {name}):
            in_use = name in needed or name == view.shown
            yield Step("lose" if in_use else "retire", replica, name)
    for name in needed:
        for replica in view.reachable:
            phase = view.phases.get((replica, name), "preparing")
            if phase != "confirmed":
                yield Step("prepare" if phase == "preparing" else "confirm", replica, name)
    if not view.is_active and len(view.confirmed) >= view.needed:
        yield Step("activate", "", view.wanted)
    superfluous = _superfluous(view)
    yield from (
        Step("retire", replica, name)
        for replica, name in view.phases
        if name in superfluous and replica in view.reachable
    )


def _needed_names(view: View) -> list[str]:
    """First what is answered from now, where the destination can bring it back, then what is wanted."""
    now = [view.active[0]] if view.active and view.restores else []
    return list(dict.fromkeys([*now, view.wanted]))


def _superfluous(view: View) -> set[str]:
    """Names to delete: never active, or drained and not among the latest that are kept for a rollback.

    Earlier ones stay while the destination does not yet answer from the wanted epoch.
    """
    earlier = {name for _, name in view.phases} - {view.wanted, view.shown} - view.permanent
    never = {name for name in earlier if name not in view.replaced_at_s}
    ended = {name: at_s for name in earlier if (at_s := view.replaced_at_s.get(name)) is not None}
    latest = sorted(ended, key=lambda name: ended[name], reverse=True)
    if not view.is_active:
        return never
    return never | {name for name in latest[view.keep :] if view.now_s >= ended[name] + view.drain_s}
