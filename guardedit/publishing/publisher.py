"""Carries out the steps of one destination. Each is recorded, so that a publisher that was killed goes on.

Before something is sent, that is recorded. After it was confirmed, that is recorded too and not repeated. The
ledger therefore names everything that may lie at a destination, and only that is ever deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from guardedit.core.errors import PublishError
from guardedit.core.failpoints import failpoint
from guardedit.core.protocols import Clock
from guardedit.ledger.inbox_writer import InboxWriter
from guardedit.publishing.bundle import Bundle
from guardedit.publishing.destination import Destination
from guardedit.publishing.steps import Place, Step, View, next_step

#: From the first quotation mark to the last one of the same kind.
_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What one pass came to.

    Attributes:
        active: the destination answers from the epoch, and enough replicas were seen to have it.
        problems: replica -> what keeps it from going on.
    """

    active: bool
    problems: dict[str, str]


class Publisher:
    """Publishes to one destination. Only one process may, see `PublisherLock`.

    Args:
        ledger: where the phases are recorded; a coordinator may write to it meanwhile.
        destination: where to.
        clock: seconds since 1970, UTC.
        tell: called with each step that was carried out.
    """

    def __init__(
        self,
        ledger: InboxWriter,
        destination: Destination,
        *,
        clock: Clock,
        tell: Callable[[Step], None] = lambda _: None,
    ) -> None:
        self._ledger, self._destination, self._clock, self._tell = ledger, destination, clock, tell
        self._doubtful: set[Place] = set()  # could not be confirmed: to be brought again first

    @property
    def name(self) -> str:
        """Of the destination."""
        return self._destination.name

    def publish(
        self, bundle: Bundle, *, held: str = "", stopped: Callable[[], bool] = lambda: False
    ) -> Passed:
        """Go as far as the destination allows at present, or until `stopped`; problems are recorded.

        Args:
            bundle: what the destination shall answer from.
            held: what keeps the destination from a later epoch than the bundle's; "" for nothing.
            stopped: asked before every step.
        """
        names: dict[str, frozenset[str]] = {}
        problems: dict[str, str] = dict.fromkeys(self._destination.replicas, held) if held else {}
        failed: set[Place] = set()
        shown: str | None = None
        for replica in self._destination.replicas:
            if stopped():
                return Passed(active=False, problems=problems)
            try:
                look = self._destination.look(replica)
            except PublishError as error:
                problems[replica] = str(error)
            else:
                names[replica], shown = look.names, look.active
        view = self._view(bundle, names, failed, shown)
        while not stopped() and (step := next_step(view)):
            try:
                self._carry_out(step, view, bundle)
            except PublishError as error:
                problems[step.replica] = str(error)
                failed.add((step.replica, step.name))
            else:
                if step.action == "prepare":
                    names[step.replica] |= {step.name}
                elif step.action == "activate" and shown is not None:
                    shown = step.name
                self._tell(step)
            view = self._view(bundle, names, failed, shown)
        self.record_problems(problems)
        active = not held and view.is_active and len(view.confirmed) >= view.needed
        return Passed(active=active, problems=problems)

    def record_problems(self, found: dict[str, str]) -> None:
        """Record what keeps replicas from going on, where that has changed.

        A quotation from a server may have the time or a number of its own in it: another quotation alone is
        no change, or the ledger would grow with every try.
        """
        known = {
            replica: problem
            for (destination, replica), (problem, _) in self._ledger.publish_problems().items()
            if destination == self.name
        }
        for replica in sorted({*known, *found}):
            if _unquoted(found.get(replica, "")) != _unquoted(known.get(replica, "")):
                self._ledger.record_publish_problem(self.name, replica, found.get(replica, ""))

    def hold(self, problem: str) -> Passed:
        """Record one problem of the whole destination, for each of its replicas, and do nothing."""
        problems = dict.fromkeys(self._destination.replicas, problem)
        self.record_problems(problems)
        return Passed(active=False, problems=problems)

    def _view(
        self,
        bundle: Bundle,
        names: dict[str, frozenset[str]],
        failed: AbstractSet[Place],
        shown: str | None,
    ) -> View:
        at = self._destination
        there = [one for one in self._ledger.publications() if one.destination == at.name]
        active = self._ledger.activations().get(at.name)
        return View(
            wanted=at.name_of(bundle, there),
            epoch=bundle.epoch,
            replicas=at.replicas,
            needed=at.needed,
            phases={(one.replica, one.name): one.phase for one in there},
            present=names,
            failed=frozenset(failed),
            active=(active.name, active.epoch) if active else None,
            shown=shown,
            replaced_at_s=self._ledger.replaced_at_s(at.name),
            permanent=at.permanent,
            restores=active is not None and at.restores(active.name),
            drain_s=at.drain_s,
            keep=at.keep,
            now_s=self._clock(),
        )

    def _carry_out(self, step: Step, view: View, bundle: Bundle) -> None:
        failpoint("publish.step")
        replica, name, at = step.replica, step.name, self._destination
        given = bundle if name == view.wanted else None
        match step.action:
            case "prepare":
                if (replica, name) not in view.phases:
                    self._record(step, "preparing", bundle)
                    failpoint("publish.step")
                at.prepare(replica, name, given)
                failpoint("publish.step")
                self._record(step, "prepared", bundle)
            case "confirm":
                if (replica, name) in self._doubtful:
                    at.prepare(replica, name, given)
                self._doubtful.add((replica, name))
                at.confirm(replica, name, given)
                self._doubtful.discard((replica, name))
                failpoint("publish.step")
                self._record(step, "confirmed", bundle)
            case "activate":
                at.activate(name, bundle.epoch)
                failpoint("publish.step")
                if view.active != (name, bundle.epoch):
                    self._ledger.record_activation(at.name, name, epoch=bundle.epoch)
            case "retire":
                # Replicas that took the place of others may still need it.
                in_use = name in (view.wanted, (view.active or ("",))[0])
                elsewhere = any(other == name and where != replica for where, other in view.phases)
                at.retire(replica, name, last=not (in_use or elsewhere))
                failpoint("publish.step")
                self._record(step, "retired", bundle)
            case "lose":
                self._record(step, "lost", bundle)
            case "notice":
                self._ledger.record_activation(at.name, name, epoch=self._made_for(name, bundle))
        failpoint("publish.step")

    def _record(self, step: Step, phase: str, bundle: Bundle) -> None:
        epoch = self._made_for(step.name, bundle)
        self._ledger.record_phase(self.name, step.replica, step.name, epoch=epoch, phase=phase)

    def _made_for(self, name: str, bundle: Bundle) -> int:
        """The epoch that a name was made for, which stays with it; the bundle's for a new name.

        When every replica lost what is active, only the activation still says what it stands for.
        """
        there = self._ledger.publications()
        found = [one.epoch for one in there if (one.destination, one.name) == (self.name, name)]
        active = self._ledger.activations().get(self.name)
        if active is not None and active.name == name:
            found.append(active.epoch)
        return next(iter(found), bundle.epoch)


def _unquoted(problem: str) -> str:
    return _QUOTED.sub("", problem)
