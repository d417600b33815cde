"""Defines the interface through which the demo reports its progress. The command line implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.runtime.coordinator import Status


class DemoProgress(Protocol):
    """Shows what the demo is doing."""

    title: str

    def stage(self, text: str) -> None:
        """Show what is being done now."""

    def progress(self, text: str) -> None:
        """Show how far the stage is, but only where the text can be overwritten later."""

    def turn(self, report: StepReport, status: Status, verdicts: Sequence[tuple[str, str]]) -> None:
        """Show the state after one turn of the loop, and (outcome, reason) of new verdicts."""
