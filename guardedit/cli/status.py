"""`guardedit status`: where things stand, from the ledger alone."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from guardedit.cli.facts.kept import kept_now
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.fact import Placement
from guardedit.core.receipt import Fate
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun, existing
from guardedit.settings import Settings


def status(
    *,
    home: Home = None,
    output: Format = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again whenever it changes.")] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, max=86_400, help="Seconds between two looks.")
    ] = 1.0,
) -> None:
    """Show where things stand.

    The serving epoch, facts by placement, what waits, and what the guard and the drift watch did.
    """
    settings = settings_from(home)
    if not watch:
        show.record(_look(settings), output)
        return
    # The usual way to end it.
    with suppress(KeyboardInterrupt):
        _watch(settings, output, every_s=every_s)


def _look(settings: Settings) -> dict[str, Any]:
    with existing(settings) as ledger:
        return state_of(ledger, now_s=time.time())


def state_of(ledger: LedgerReader, *, now_s: float) -> dict[str, Any]:
    """What an operator wants to know at a glance; None for what is not known yet.

    `now_s` (seconds since 1970, UTC) decides which facts have expired.
    """
    counts = ledger.counts()
    epoch = ledger.epoch() if begun(ledger) else None
    refs = ledger.refs()
    kept = [why.state for _, why in kept_now(ledger, now_s=now_s)]
    live = [fact for fact in ledger.live().values() if not fact.expired(now_s)] if epoch else []
    return {
        "epoch": epoch.number if epoch else None,
        "since": show.moment(epoch.created_at_s) if epoch else None,
        "last_good": refs.get("last-good"),
        "facts": {place.value: sum(fact.placement is place for fact in live) for place in Placement},
        "kept_in_memory": len(kept),
        "quarantined": kept.count("quarantined"),
        "weight_edits": counts.edits_live,
        "perplexity_ratio": _last_ratio(ledger),
        "waiting": counts.inbox_waiting,
        "oldest_s": counts.inbox_oldest_s,
        "held": len(ledger.entries(Fate.HELD, limit=-1)),
        "dead_letters": counts.dead_letters,
        "trials": dict(counts.trials),
        "rollbacks": dict(counts.rollbacks),
    }


def _last_ratio(ledger: LedgerReader) -> float:
    readings = ledger.events(kinds=("reading",))
    if not readings:
        return math.nan
    try:
        return math.exp(readings[-1][2]["log_ratio_to_base"])
    except OverflowError:
        return math.inf


def _watch(settings: Settings, output: Output, *, every_s: float) -> None:
    with _screen(output) as draw:
        shown: dict[str, Any] = {}
        while True:
            # Opened each time: a coordinator may have started since.
            state = _look(settings)
            # Its age changes with every look and is no news.
            if {**state, "oldest_s": 0.0} != shown or draw.live:
                draw(state)
                shown = {**state, "oldest_s": 0.0}
            time.sleep(every_s)


class _Draw:
    """In a terminal the same lines are drawn anew; elsewhere every change is printed below the last."""

    def __init__(self, output: Output, live: Any = None, text: Callable[[str], Any] = str) -> None:
        self.output, self.live, self.text = output, live, text

    def __call__(self, state: dict[str, Any]) -> None:
        if self.live is not None:
            self.live.update(self.text(show.as_text(state)), refresh=True)
        else:
            show.line(state, self.output, "  ".join(f"{k}={show.cell(v)}" for k, v in state.items()))


@contextmanager
def _screen(output: Output) -> Iterator[_Draw]:
    if output is Output.JSON or not sys.stdout.isatty():
        yield _Draw(output)
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        yield _Draw(output, live, Text)
