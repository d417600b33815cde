"""Shows the demo's progress: a live panel on a terminal, elsewhere one line for each epoch, on stderr."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from guardedit.cli.terminal import show

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.runtime.coordinator import Status

#: How many verdicts the panel shows.
RECENT = 8
#: Width of the bars, in characters.
BAR = 40


class LiveScreen:
    """Implements `DemoProgress`. A context manager."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._live: Any = None
        self._stage = ""
        self._status: Status | None = None
        self._verdicts: deque[tuple[str, str]] = deque(maxlen=RECENT)
        self._epoch = -1

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(get_renderable=self._panel, refresh_per_second=4)
            self._live.__enter__()
        else:
            show.warn(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def stage(self, text: str) -> None:
        """Show what is being done now."""
        if self._live is None and text != self._stage:
            show.warn(f"{text} ...")
        self._stage = text

    def progress(self, text: str) -> None:
        """Show how far the stage is, on a terminal only."""
        if self._live is not None:
            self._stage = text

    def turn(self, report: StepReport, status: Status, verdicts: Sequence[tuple[str, str]]) -> None:
        """Show the state after one turn of the loop, and (outcome, reason) of new verdicts."""
        self._status = status
        self._verdicts.extend(verdicts)
        if self._live is None and status.epoch != self._epoch:
            show.warn(_line(report, status))
        self._epoch = status.epoch

    def _panel(self) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        parts: list[Any] = [Text(self._stage, style="bold")]
        if self._status is not None:
            parts += ["", _numbers(self._status), ""]
        for outcome, reason in self._verdicts:
            style = "green" if outcome == "accept" else "red"
            parts.append(Text.assemble((f"{outcome:<13}", style), reason, overflow="ellipsis", no_wrap=True))
        return Panel(Group(*parts), title=self.title, title_align="left", padding=(1, 2))


def _line(report: StepReport, status: Status) -> str:
    parts = [
        f"epoch {status.epoch}:",
        f"{status.memory} in memory, {status.weights} in weights",
        f"(this turn {report.promoted} promoted, {report.kept} kept in memory)",
        f"perplexity {show.cell(status.perplexity_ratio)}",
        f"layer {status.capacity_ratio:.0%} full",
        f"{status.dead_letters} dead letters",
    ]
    return "  ".join([*parts, *([report.breach] if report.breach else [])])


def _numbers(status: Status) -> Any:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    total = max(1, status.memory + status.weights)
    ratio = status.perplexity_ratio
    rows: Mapping[str, str] = {
        "epoch": f"{status.epoch} (last good {status.last_good})",
        "in memory": f"{_bar(status.memory / total)} {status.memory}",
        "in weights": f"{_bar(status.weights / total)} {status.weights}",
        "layer in use": f"{_bar(status.capacity_ratio)} {status.capacity_ratio:.1%}",
        "perplexity": "not measured yet" if math.isnan(ratio) else f"{ratio:.4f} times the base model's",
        "kept in memory": f"{status.kept_in_memory}",
        "dead letters": f"{status.dead_letters}",
        "trials": ", ".join(f"{count} {outcome}" for outcome, count in status.trials.items()) or "none yet",
        "rollbacks": f"{status.rollbacks}",
    }
    for name, text in rows.items():
        grid.add_row(name, text)
    return grid


def _bar(share: float) -> str:
    """A bar of `BAR` characters, filled up to `share` (0 to 1).

    >>> _bar(0.5) == "█" * 20 + "░" * 20
    True
    """
    full = round(BAR * min(1.0, max(0.0, share)))
    return "█" * full + "░" * (BAR - full)
