"""The plan alone, on thousands of made-up destinations: what it never does, and that it comes to an end."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from guardedit.publishing.steps import Place, Step, View, next_step

NAMES = ("base", "e1", "e2", "e3", "e4")
REPLICAS = ("a", "b", "c")


@dataclass
class Simulated:
    """A destination, and what a ledger would say of it."""

    needed: int
    keep: int
    shows: bool  # says itself what it answers from
    replicas: tuple[str, ...] = REPLICAS
    folders: set[str] = field(default_factory=lambda: {"base"})  # from which a replica is restored
    there: dict[str, set[str]] = field(default_factory=lambda: {one: {"base"} for one in REPLICAS})
    phases: dict[tuple[str, str], str] = field(default_factory=dict)
    active: tuple[str, int] | None = None
    shown: str = ""
    replaced: dict[str, float | None] = field(default_factory=dict)
    now_s: float = 0.0

    def view(self, wanted: str, epoch: int, away: frozenset[str], failed: frozenset[Place]) -> View:
        present = {one: frozenset(self.there[one]) for one in self.replicas if one not in away}
        return View(
            wanted=wanted, epoch=epoch, replicas=self.replicas, needed=self.enough, phases=dict(self.phases),
            present=present, failed=failed, active=self.active, shown=self.shown if self.shows else None,
            replaced_at_s=dict(self.replaced), permanent=frozenset({"base"}), restores=not self.shows,
            drain_s=10.0, keep=self.keep, now_s=self.now_s,
        )  # fmt: skip

    @property
    def enough(self) -> int:
        return min(self.needed, len(self.replicas))

    def carry_out(self, step: Step, wanted: str, epoch: int) -> bool:
        """Whether it succeeds."""
        key = (step.replica, step.name)
        match step.action:
            case "prepare":
                if step.name == wanted:
                    self.folders.add(step.name)
                if step.name not in self.folders:
                    self.phases[key] = "preparing"
                    return False
                self.there[step.replica].add(step.name)
                self.phases[key] = "prepared"
            case "confirm":
                assert step.name in self.there[step.replica]
                self.phases[key] = "confirmed"
            case "activate":
                assert step.name == wanted
                ready = [one for one in self.replicas if self.phases.get((one, wanted)) == "confirmed"]
                assert len([one for one in ready if wanted in self.there[one]]) >= self.enough
                self.switch(wanted, epoch)
            case "notice":
                self.switch(step.name, 0)
            case "retire":
                removed = step.replica not in self.replicas
                assert removed or step.name not in ("base", wanted)
                assert removed or not self.shows or step.name != self.shown
                at_s = self.replaced.get(step.name)
                if not removed and at_s is not None and step.name in self.there[step.replica]:
                    assert self.now_s >= at_s + 10.0
                self.there[step.replica].discard(step.name)
                del self.phases[key]
            case "lose":
                assert step.name not in self.there[step.replica]
                del self.phases[key]
        return True

    def publish(
        self,
        wanted: str,
        epoch: int,
        *,
        away: frozenset[str] = frozenset(),
        failing: frozenset[str] = frozenset(),
    ) -> None:
        """One pass."""
        failed: frozenset[Place] = frozenset()
        for _ in range(200):
            step = next_step(self.view(wanted, epoch, away, failed))
            if step is None:
                return
            if step.replica in failing or not self.carry_out(step, wanted, epoch):
                failed |= {(step.replica, step.name)}
        raise AssertionError("it never comes to an end")

    def switch(self, name: str, epoch: int) -> None:
        if self.active and self.active[0] != name:
            self.replaced[self.active[0]] = self.now_s
        self.active, self.shown = (name, epoch), name
        self.replaced[name] = None


TURN = st.fixed_dictionaries(
    {
        "wanted": st.sampled_from(NAMES),
        "away": st.frozensets(st.sampled_from(REPLICAS)),
        "failing": st.frozensets(st.sampled_from(("", *REPLICAS))),  # "" is the switch
        "replicas": st.lists(st.sampled_from(REPLICAS), min_size=1, unique=True).map(tuple),
        "wiped": st.frozensets(st.sampled_from(NAMES[1:])),  # their folders
        "restarted": st.frozensets(st.sampled_from(REPLICAS)),
        "by_hand": st.sampled_from(("", *NAMES)),
        "later_s": st.sampled_from((0.0, 4.0, 20.0)),
    }
)


@given(
    turns=st.lists(TURN, min_size=1, max_size=12),
    needed=st.integers(1, 3),
    keep=st.integers(0, 2),
    shows=st.booleans(),
)
def test_whatever_happens_only_what_is_ready_becomes_active_and_what_is_in_use_stays(
    turns, needed, keep, shows
):
    at = Simulated(needed, keep, shows)
    for epoch, turn in enumerate(turns):
        at.now_s += turn["later_s"]
        for replica in turn["restarted"]:
            at.there[replica] = {"base"}
        at.replicas = turn["replicas"]
        at.folders -= turn["wiped"]
        if shows and turn["by_hand"]:
            at.shown = turn["by_hand"]
        at.publish(turn["wanted"], epoch, away=turn["away"], failing=turn["failing"])
        usable = set(at.replicas) - turn["away"] - turn["failing"]
        if len(usable) >= at.enough and "" not in turn["failing"]:
            assert at.active == (turn["wanted"], epoch)
    # When everything is well again, everything is as it should be, and nothing else is left.
    at.replicas = REPLICAS
    for _ in range(3):  # again after what could not be restored, and after what was replaced has drained
        at.publish("e4", 99)
        at.now_s += 100
    assert at.active == ("e4", 99)
    assert all(at.phases[one, "e4"] == "confirmed" and "e4" in at.there[one] for one in REPLICAS)
    left = {name for _, name in at.phases} - {"e4", "base"}
    assert len(left) <= keep
