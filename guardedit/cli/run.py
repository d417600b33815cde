"""`guardedit run`: the coordinator and everything it needs, until it is told to stop."""

from __future__ import annotations

import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.agent.parts import StepReport
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import SourceError
from guardedit.ledger.storage.lock import DriverLock
from guardedit.runtime.door import DOOR, open_door, use_token
from guardedit.runtime.opening import refuse_second
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.policy.schema import Policy
    from guardedit.runtime.drive import System


class Runtime(StrEnum):
    """Where the parts run."""

    LOCAL = "local"
    RAY = "ray"


class Log(StrEnum):
    """How the log lines look."""

    TEXT = "text"
    JSON = "json"


def run(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    runtime: Annotated[
        Runtime | None,
        typer.Option(help="In this process, or in Ray actors; else GUARDEDIT_RUNTIME.", show_default=False),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is left to do.")] = False,
    log: Annotated[
        Log | None, typer.Option(help="A structured line per step on stderr.", show_default=False)
    ] = None,
) -> None:
    """Run the coordinator until it is told to stop.

    Takes corrections from the inbox and the broker, decides, remembers, promotes and watches.

    Prints a line per change. SIGTERM or Ctrl-C finishes the step in hand and stops; killed harder, the next
    start goes on from the ledger. One coordinator per ledger: a second one is refused.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model, runtime=runtime.value if runtime else None)
    rules = load_policy(settings.policy)
    if not (settings.runtime == "ray" and settings.ray_address):
        # On a cluster the coordinator outlives its driver, and a new driver finds it there.
        refuse_second(settings)
        (settings.home / DOOR).unlink(missing_ok=True)
    if log is not None:
        from guardedit.telemetry.logs import configure_logging

        configure_logging(log is Log.JSON, sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(DriverLock(settings.home))
        system = stack.enter_context(_system(settings, rules, log=log is not None, once=once))
        if settings.runtime == "ray" and not settings.ray_address:
            stack.enter_context(open_door(settings))
        stop = stack.enter_context(_stop_on_signals())
        epoch = system.epoch().number
        where = f"{settings.metrics.host}:{settings.metrics.port}" if settings.metrics else None
        told = {"event": "ready", "epoch": epoch, "runtime": settings.runtime, "metrics": where}
        show.line(told, output, f"ready: epoch {epoch}, runtime {settings.runtime}, metrics {where or 'off'}")
        away = _work(system, stop, once=once, output=output)
        epoch = system.epoch().number
        show.line({"event": "stopped", "epoch": epoch}, output, f"stopped: epoch {epoch}")
    if away:
        raise SourceError(away)


def _work(system: System, stop: threading.Event, *, once: bool, output: Output) -> str:
    """Until told to stop or, with `once`, until nothing is left; what a broker that is away had to say."""
    from guardedit.runtime.drive import drain, drive

    def tell(report: StepReport) -> None:
        _tell(report, output)

    if once:
        return drain(system, stop, tell)
    drive(system, stop, tell=tell, warn=lambda text: show.warn(f"warning: {text}"))
    return ""


def _tell(report: StepReport, output: Output) -> None:
    fields: dict[str, Any] = {
        "event": "step",
        "epoch": report.epoch.number if report.epoch else None,
        "received": report.received,
        "settled": report.settled,
        "promoted": report.promoted,
        "turned_away": report.turned_away,
        "breach": report.breach,
    }
    numbers = [
        f"{fields[name]} {name.replace('_', ' ')}"
        for name in ("received", "settled", "promoted", "turned_away")
        if fields[name]
    ]
    text = ", ".join([*numbers, *([report.breach] if report.breach else [])])
    show.line(fields, output, f"epoch {fields['epoch']}: {text}")


def _system(settings: Settings, policy: Policy, *, log: bool, once: bool) -> System:
    if settings.runtime == "ray":
        use_token(secrets.token_hex(32))
        from guardedit.runtime.cluster import RaySystem

        return RaySystem(settings, policy, log=log)
    from guardedit.runtime.local import LocalSystem

    return LocalSystem(settings, policy, log=log, apart=not once)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set. A second one ends the process as usual."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def set_stop(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
