"""Opens everything that `guardedit publish run` needs, and publishes each new serving epoch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from guardedit.core.errors import EditError, GuardeditError, LedgerCorrupt, UsageError, WrongBaseModel
from guardedit.ledger.inbox_writer import InboxWriter
from guardedit.ledger.storage.lock import PublisherLock
from guardedit.policy.publish import DirectoryDestination, FleetDestination, ObjectsDestination
from guardedit.policy.schema import Policy
from guardedit.publishing.destination import Destination
from guardedit.publishing.directory import Directory
from guardedit.publishing.making import PUBLISH, AdapterWriter, BundleMaker
from guardedit.publishing.objects import Objects
from guardedit.publishing.publisher import Passed, Publisher
from guardedit.publishing.steps import Step
from guardedit.runtime.opening import LEDGER, begun, changing
from guardedit.settings import Settings

#: How often the ledger is asked for a new serving epoch, in seconds. Epochs that come faster are skipped.
POLL_S: Final = 1.0
#: How long to wait after a problem, in seconds; twice as long after each further one, up to `LOOK_S`.
RETRY_S: Final = 2.0
#: How often a destination that has everything is looked at again, in seconds.
LOOK_S: Final = 30.0

#: Called with the name of a destination and what happened there.
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Publishing:
    """All destinations of a policy.

    Attributes:
        publishers: one for each destination.
    """

    publishers: tuple[Publisher, ...]
    _ledger: InboxWriter
    _maker: BundleMaker
    _shadow: bool
    _tell: Tell
    _making: threading.Lock = field(default_factory=threading.Lock)
    _in_use: list[int] = field(default_factory=list)

    def once(self) -> dict[str, Passed]:
        """Publish the present serving epoch as far as possible; destination -> what that came to.

        Raises:
            UsageError: no coordinator has begun the ledger, so there is no epoch.
            LedgerCorrupt, WrongBaseModel: nothing can be published until a person has acted.
        """
        if (number := self._number()) is None:
            raise UsageError("the ledger has no epoch yet: `guardedit run` writes the first one")
        return {publisher.name: self._tried(publisher, number) for publisher in self.publishers}

    def run(self, stop: threading.Event) -> None:
        """Publish every new serving epoch until `stop` is set.

        Each destination has a thread, so that a slow one does not keep the others waiting.

        Raises:
            LedgerCorrupt, WrongBaseModel: nothing can be published until a person has acted.
        """
        fatal: list[Exception] = []

        def follow(publisher: Publisher) -> None:
            try:
                self._follow(publisher, stop)
            except Exception as error:  # noqa: BLE001 - raised below, when all threads have ended
                fatal.append(error)
                stop.set()

        threads = [
            threading.Thread(target=follow, args=(one,), name=f"publish-{one.name}", daemon=True)
            for one in self.publishers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if fatal:
            raise fatal[0]

    def _follow(self, publisher: Publisher, stop: threading.Event) -> None:
        done, due_s, told, wait_s = None, 0.0, "", RETRY_S
        while not stop.is_set():
            problem = None
            try:
                number = self._number()
                if number is not None and (number != done or time.monotonic() >= due_s):
                    passed = self._tried(publisher, number, stopped=stop.is_set)
                    done, problem = number, "; ".join(dict.fromkeys(passed.problems.values()))
            except (LedgerCorrupt, WrongBaseModel):
                raise
            except GuardeditError as error:  # as while the disk is full
                problem = str(error)
            if problem is not None:
                if problem and problem != told:
                    self._tell(publisher.name, problem)
                told = problem
                due_s = time.monotonic() + (wait_s if problem else LOOK_S)
                wait_s = min(2 * wait_s, LOOK_S) if problem else RETRY_S
            stop.wait(POLL_S)

    def _number(self) -> int | None:
        """The epoch to publish, in shadow mode the base model alone; None before there is one."""
        if not begun(self._ledger):
            return None
        return 0 if self._shadow else self._ledger.ref("serving")

    def _tried(
        self, publisher: Publisher, number: int, *, stopped: Callable[[], bool] = lambda: False
    ) -> Passed:
        """One pass. What keeps the epoch from being made ready is recorded for the destination."""
        active = self._ledger.activations().get(publisher.name)
        try:
            try:
                return self._publish(publisher, number, stopped=stopped)
            except (EditError, UsageError) as error:
                if active is None or active.epoch == number:
                    raise
                # It cannot become an adapter. What the destination answers from is looked after nevertheless.
                held = _cannot(number, error)
                return self._publish(publisher, active.epoch, held=held, stopped=stopped)
        except GuardeditError as error:
            if isinstance(error, LedgerCorrupt | WrongBaseModel):
                with suppress(GuardeditError):  # the ledger itself may be the problem
                    publisher.hold(_cannot(number, error))
                raise
            return publisher.hold(_cannot(number, error))

    def _publish(
        self, publisher: Publisher, number: int, *, held: str = "", stopped: Callable[[], bool]
    ) -> Passed:
        with self._making:
            bundle = self._maker.bundle(self._ledger.snapshot(number), in_use=self._in_use)
            self._in_use.append(number)
        try:
            return publisher.publish(bundle, held=held, stopped=stopped)
        finally:
            self._in_use.remove(number)


def _cannot(number: int, error: GuardeditError) -> str:
    return f"epoch {number} cannot be published: {error}"


@contextmanager
def open_publishing(
    settings: Settings, policy: Policy, *, key: str = "", tell: Tell = lambda *_: None
) -> Iterator[Publishing]:
    """Open the ledger and the destinations of the policy. A coordinator may run.

    What the ledger says of destinations that the policy no longer has is closed; nothing is deleted there.
    When that was all there is to do, there are no publishers.

    Args:
        settings: home folder and model.
        policy: its destinations.
        key: sent to the servers of a fleet as bearer token; "" for none.
        tell: called with the name of a destination and each step there.

    Raises:
        UsageError: the policy has no destination and had none before, or there is no ledger.
        LedgerBusy: another process publishes.
    """
    missing = UsageError("the policy has no destination: add a `publish` section to it")
    if not policy.publish and not (settings.home / LEDGER).exists():
        raise missing
    with changing(settings) as ledger, PublisherLock(settings.home):
        closed = _close(ledger, {section.name for section in policy.publish})
        for name in closed:
            tell(name, "closed: the policy no longer has it")
        if not policy.publish and not closed:
            raise missing
        yield Publishing(
            tuple(_publisher(ledger, _destination(section, key), tell) for section in policy.publish),
            ledger,
            BundleMaker(settings.home / PUBLISH, AdapterWriter(settings, policy)),
            policy.mode == "shadow",
            tell,
        )


def _close(ledger: InboxWriter, names: Collection[str]) -> list[str]:
    """Forget every destination but those with these names; returns what was forgotten."""
    closed = set()
    for one in ledger.publications():
        if one.destination not in names:
            ledger.record_phase(one.destination, one.replica, one.name, epoch=one.epoch, phase="retired")
            closed.add(one.destination)
    for destination, replica in ledger.publish_problems():
        if destination not in names:
            ledger.record_publish_problem(destination, replica, "")
            closed.add(destination)
    for destination in ledger.activations():
        if destination not in names:
            ledger.record_activation(destination, "", epoch=0)
            closed.add(destination)
    return sorted(closed)


def _publisher(ledger: InboxWriter, destination: Destination, tell: Tell) -> Publisher:
    def told(step: Step) -> None:
        at = f" on {step.replica}" if step.replica else ""
        tell(destination.name, f"{step.action} {step.name}{at}")

    return Publisher(ledger, destination, clock=time.time, tell=told)


def _destination(
    section: DirectoryDestination | ObjectsDestination | FleetDestination, key: str
) -> Destination:
    if isinstance(section, DirectoryDestination):
        return Directory(section)
    if isinstance(section, ObjectsDestination):
        return Objects(section)
    try:
        from guardedit.publishing.fleet import Fleet
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{section.name} needs the package {error.name}: pip install 'guardedit[publish]'"
        ) from None
    return Fleet(section, key=key)
