"""`guardedit status`: the state of the system, from the ledger alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.runtime.opening import existing
from guardedit.runtime.operator.stages import read_stage
from guardedit.runtime.operator.status import LedgerStatus, ledger_status
from guardedit.settings import Settings


def status(
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep running, and show the state whenever it changes.")
    ] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, max=86_400, help="With --watch: seconds between two checks.")
    ] = 1.0,
) -> None:
    """Show the state of the system.

    The serving epoch, live facts by placement, what waits in the inbox or for a person, results of trials,
    rollbacks, and the perplexity of the served weights over the base model's.
    """
    settings = settings_from(home)
    if not watch:
        show.record(_state(settings), output)
        return
    with suppress(KeyboardInterrupt):  # the usual way to end it
        _watch(settings, output, every_s=every_s)


def _state(settings: Settings) -> dict[str, Any]:
    now_s = time.time()
    with existing(settings) as ledger:
        found, stage = ledger_status(ledger, now_s=now_s), read_stage(settings.home, now_s=now_s)
    return _fields(found) | {"now": f"{stage}, since {show.moment(stage.since_s)}" if stage else None}


def _fields(found: LedgerStatus) -> dict[str, Any]:
    epoch, counts = found.epoch, found.counts
    return {
        "epoch": epoch.number if epoch else None,
        "since": show.moment(epoch.created_at_s) if epoch else None,
        "last_good": found.last_good,
        "facts": {place.value: number for place, number in found.facts.items()},
        "kept_in_memory": found.kept_in_memory,
        "kept_because": dict(found.kept_because),
        "weights_waiting": found.waiting_for_weights,
        "quarantined": found.quarantined,
        "weight_edits": counts.edits_live,
        "perplexity_ratio": found.perplexity_ratio,
        "waiting": counts.inbox_waiting,
        "oldest_s": counts.inbox_oldest_s,
        "held": found.held,
        "dead_letters": counts.dead_letters,
        "trials": dict(counts.trials),
        "rollbacks": dict(counts.rollbacks),
    }


def _watch(settings: Settings, output: Output, *, every_s: float) -> None:
    shown: dict[str, Any] = {}
    with _display(output) as display:
        while True:
            # The ledger is opened for each check: a coordinator may have started since.
            state = _state(settings)
            # The age of the oldest message grows with every check and is not a change.
            if {**state, "oldest_s": 0.0} != shown or display.live:
                display(state)
                shown = {**state, "oldest_s": 0.0}
            time.sleep(every_s)


class _Display:
    """On a terminal the same lines are redrawn; elsewhere every change is printed below the last one."""

    def __init__(self, output: Output, live: Any = None, text: Callable[[str], Any] = str) -> None:
        self.output, self.live, self.text = output, live, text

    def __call__(self, state: dict[str, Any]) -> None:
        if self.live is not None:
            self.live.update(self.text(show.as_text(state)), refresh=True)
        else:
            show.line(state, self.output, "  ".join(f"{k}={show.cell(v)}" for k, v in state.items()))


@contextmanager
def _display(output: Output) -> Iterator[_Display]:
    if output is Output.JSON or not sys.stdout.isatty():
        yield _Display(output)
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        yield _Display(output, live, Text)
