"""`guardedit run`: runs the coordinator with everything it needs until it is stopped."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from enum import StrEnum
from typing import Annotated, Any

import typer

from guardedit.agent.parts import StepReport
from guardedit.cli.operator.hangup import on_hangup
from guardedit.cli.operator.long_stages import told_stages
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.cli.terminal.stopping import stop_on_signals
from guardedit.core.errors import GuardeditError, SourceError, UsageError
from guardedit.core.messages import Fate
from guardedit.ledger.storage.lock import DriverLock
from guardedit.runtime.coordinator_access import ADDRESS_FILE, ADMIN_FILE, publish_address
from guardedit.runtime.opening import existing, has_statistics, refuse_second
from guardedit.runtime.operator.approving import COMMAND_LINE
from guardedit.runtime.system import System, open_system
from guardedit.settings import DEFAULT_ADMIN, Address, Settings

#: Held corrections that are counted at the end of a run.
MOST_HELD = 10_000


class Runtime(StrEnum):
    """Where the parts of the system run."""

    LOCAL = "local"
    RAY = "ray"


class Log(StrEnum):
    """Format of the log lines."""

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
        typer.Option(
            help="Run in this process or in Ray actors. Default: $GUARDEDIT_RUNTIME, else local.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when no correction waits.")] = False,
    log: Annotated[
        Log | None,
        typer.Option(help="Write a structured line for every event to stderr.", show_default=False),
    ] = None,
) -> None:
    """Run the coordinator until it is stopped.

    It takes corrections from the inbox and the broker, decides about each, makes accepted facts answerable
    from memory, moves facts into the weights after a trial, and watches for drift.

    Prints a line for every change. SIGTERM or Ctrl-C ends it after the step that is running. After a harder
    kill the next start continues from the ledger. A ledger has one coordinator; a second one is refused.
    SIGHUP makes it read its policy file again.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model, runtime=runtime.value if runtime else None)
    rules = load_policy(settings.policy)
    if not (settings.runtime == "ray" and settings.ray_address):
        # On a cluster the coordinator outlives its driver, and a new driver finds it there.
        refuse_second(settings)
        for left in (ADDRESS_FILE, ADMIN_FILE):  # by a coordinator that was killed
            (settings.home / left).unlink(missing_ok=True)
        if settings.metrics is not None:
            from guardedit.telemetry.server import require_free

            require_free(settings.metrics)
    offered = None if once else _admin_address(settings)
    if log is not None:
        from guardedit.telemetry.logs import configure_logging

        configure_logging(log is Log.JSON, sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(DriverLock(settings.home))
        with progress("loading the model") as report:
            if rules.writes_weights and not has_statistics(settings):
                report("loading the model and collecting its statistics, which later starts reuse")
            system = open_system(settings, rules, log=log is not None, worker_process=not once)
        stack.enter_context(system)
        if settings.runtime == "ray" and not settings.ray_address:
            stack.enter_context(publish_address(settings))
        stop = stack.enter_context(stop_on_signals())
        epoch = system.epoch().number
        where = f"{settings.metrics.host}:{settings.metrics.port}" if settings.metrics else None
        ready = {"event": "ready", "epoch": epoch, "runtime": settings.runtime, "metrics": where}
        show.line(
            ready, output, f"ready: epoch {epoch}, runtime {settings.runtime}, metrics {where or 'off'}"
        )
        if offered is not None:
            from guardedit.gateway.admin.serving import admin_server

            admin = stack.enter_context(admin_server(settings, rules, system, offered))
            show.line({"event": "admin", "url": admin}, output, f"page and HTTP interface: {admin}")
        stack.enter_context(told_stages(settings.home, log=log is not None))
        if not once:
            stack.enter_context(on_hangup(lambda: _reload(settings, system, output), stop))
        away = _work(system, stop, once=once, output=output)
        _print_end(system, settings, output)
    if away:
        raise SourceError(away)


def _admin_address(settings: Settings) -> Address | None:
    """Where the operators' interface will listen; None where it is off or its packages are missing.

    To be called before a model is loaded, which takes long.

    Raises:
        UsageError: it could not start later.
    """
    if settings.admin is None:
        return None
    try:
        from guardedit.gateway.admin.serving import check_admin
    except ModuleNotFoundError as error:
        if settings.admin != DEFAULT_ADMIN:
            raise UsageError(
                f"the admin interface needs the package {error.name}: pip install 'guardedit[serve]', "
                "or set GUARDEDIT_ADMIN=off"
            ) from None
        return None
    check_admin(settings, settings.admin)
    return settings.admin


def _reload(settings: Settings, system: System, output: Output) -> None:
    """Put the changed policy file in force, or warn why it is not."""
    from guardedit.runtime.operator.reloading import reload_policy

    try:
        done = reload_policy(settings, system, who=COMMAND_LINE)
    except GuardeditError as error:
        show.warn(f"warning: the policy was not reloaded: {error}")
        return
    fields = {"event": "policy", "policy_sha256": done.policy.sha256, "changed": done.changed}
    text = "in force from now on" if done.changed else "unchanged"
    show.line(fields, output, f"policy {settings.policy}, sha256 {done.policy.sha256[:12]}: {text}")


def _work(system: System, stop: threading.Event, *, once: bool, output: Output) -> str:
    """Run until stopped or, with `once`, until nothing waits; returns the error of an unreachable broker."""
    from guardedit.runtime.drive import drain, drive

    def print_change(report: StepReport) -> None:
        _print_change(report, output)

    if once:
        return drain(system, stop, print_change)
    drive(system, stop, tell=print_change, warn=lambda text: show.warn(f"warning: {text}"))
    return ""


def _print_change(report: StepReport, output: Output) -> None:
    fields: dict[str, Any] = {
        "event": "step",
        "epoch": report.epoch.number if report.epoch else None,
        "received": report.received,
        "settled": report.settled,
        "promoted": report.promoted,
        "kept": report.kept,
        "turned_away": report.kept,  # the name in 0.1, for one version
        "breach": report.breach,
    }
    words = {"received": "received", "settled": "settled", "promoted": "promoted", "kept": "kept in memory"}
    numbers = [f"{fields[name]} {text}" for name, text in words.items() if fields[name]]
    text = ", ".join([*numbers, *([report.breach] if report.breach else [])])
    show.line(fields, output, f"epoch {fields['epoch']}: {text}")


def _print_end(system: System, settings: Settings, output: Output) -> None:
    """The serving epoch, and how many messages wait for a person."""
    epoch = system.epoch().number
    with existing(settings) as ledger:
        dead, held = len(ledger.dead_letters()), len(ledger.entries(Fate.HELD, limit=MOST_HELD))
    fields = {"event": "stopped", "epoch": epoch, "dead_letters": dead, "held": held}
    notes = [f"{dead} dead letters (`guardedit dlq list`)"] * bool(dead)
    notes += [f"{held} held (`guardedit held list`)"] * bool(held)
    show.line(fields, output, "; ".join([f"stopped: epoch {epoch}", *notes]))
