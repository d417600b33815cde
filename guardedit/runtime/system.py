"""Starts a running guardedit, local or on Ray, for the command line, the demo, benchmarks and the API."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.memory.store import RetrievalMemory
    from guardedit.models.host import ModelHost
    from guardedit.policy.schema import Policy
    from guardedit.runtime.coordinator import Status
    from guardedit.runtime.local import Extra


class Reversible(Protocol):
    """The changes that an operator can make: rollback, undo and redo."""

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights of an earlier epoch again, or with `facts_too` all of that epoch."""

    def undo(self, fact_id: str) -> Epoch:
        """Undo one fact."""

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Undo what a source wrote, or with `key` what this key signed."""

    def redo(self, fact_id: str) -> Epoch:
        """Redo a fact that was undone."""


class System(Reversible, Protocol):
    """Both cycles, a worker and a replica, in this process (`LocalSystem`) or in Ray actors (`RaySystem`)."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""

    @property
    def worker(self) -> Worker:
        """Proposes edits and measures candidate epochs."""

    def step(self) -> StepReport:
        """One turn of each cycle; an epoch that it made is published when this returns."""

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most `wait_s` seconds for something new."""

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle."""

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """Answer all prompts from one epoch."""

    def reading_parts(self) -> tuple[ModelHost, RetrievalMemory]:
        """A model and an empty memory for answers beside the cycles, which they never wait for."""

    def served(self) -> int | None:
        """The epoch that the replica answers from; None before the first."""

    def epoch(self) -> Epoch:
        """The serving epoch in the ledger."""

    def use_policy(self, policy: Policy) -> None:
        """Decide by another policy that needs no restart (`needs_restart`); a running trial ends as it began.

        Raises:
            UsageError: this runtime cannot, or the policy cannot be used. Nothing has changed then.
        """

    def status(self) -> Status:
        """Counts, ratios and refs as they are now."""

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics page, and its content type: the one that the header `accept` prefers."""

    def seconds_by_stage(self) -> dict[str, float]:
        """Seconds by stage since the coordinator started."""

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the weights that `edits` fold to."""

    def restart_coordinator(self) -> None:
        """End both cycles and start them again from the ledger."""

    def close(self) -> None:
        """Stop what was started here."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_system(
    settings: Settings,
    policy: Policy,
    *,
    extra: Extra | None = None,
    log: bool = False,
    worker_process: bool = False,
) -> System:
    """Start the parts in this process or in Ray actors, as `settings.runtime` says.

    Args:
        settings: model, home folder and runtime.
        policy: policy in force from now on.
        extra: editing methods that are not in the registry.
        log: write a structured line for every event.
        worker_process: with the local runtime, run the worker in a process of its own, so that a trial does
            not slow the live cycle. Needed where both cycles run side by side.

    Raises:
        LedgerBusy: another coordinator has the home folder.
        UsageError: model, card or ledger cannot be used.
    """
    if settings.runtime == "ray":
        from guardedit.runtime.ray_token import use_token

        use_token(secrets.token_hex(32))
        from guardedit.runtime.cluster import RaySystem

        return RaySystem(settings, policy, extra=extra, log=log)
    from guardedit.runtime.local import LocalSystem

    return LocalSystem(settings, policy, extra=extra, log=log, worker_process=worker_process)
