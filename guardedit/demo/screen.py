"""Where the demo shows its progress. The command line draws it; here is only what the demo asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.runtime.coordinator import Status


class Screen(Protocol):
    """Shows what the demo is doing."""

    title: str

    def stage(self, text: str) -> None:
        """What is being done now."""

    def progress(self, text: str) -> None:
        """How far it is; only where it can be overwritten."""

    def turn(self, report: StepReport, status: Status, verdicts: Sequence[tuple[str, str]]) -> None:
        """One turn of the loop: where things stand, and (outcome, reason) of new verdicts."""
