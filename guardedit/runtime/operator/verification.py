"""Checks a home folder: its ledger, the files of the base model, the served weights and the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardedit.core.errors import GuardeditError
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.policy.schema import Policy

#: Called with a line of text when a stage begins.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and found.

    Attributes:
        checked: `ledger`, and with the model also `base`, `weights` and `memory`.
        problems: one sentence each; empty when everything is sound.
        events: how many events the ledger holds; None where there are problems.
    """

    checked: tuple[str, ...]
    problems: tuple[str, ...]
    events: int | None


def verify_home(
    settings: Settings, ledger: LedgerReader, *, ledger_only: bool, tell: Tell = lambda _: None
) -> Verification:
    """Check everything, and change nothing.

    Args:
        settings: model, policy and home folder.
        ledger: open for reading.
        ledger_only: leave out what needs the model's files.
        tell: called with a line of text when a stage begins.
    """
    tell("checking the ledger")
    problems = ledger.verify()
    checked = ["ledger"]
    # If the ledger is damaged, a difference between ledger and model means nothing.
    if not (problems or ledger_only) and begun(ledger):
        tell("checking the files of the base model")
        problems = list(_changed_files(settings, ledger)) or list(_check_with_model(settings, ledger, tell))
        checked += ["base", "weights", "memory"]
    events = None if problems else len(ledger.log())
    return Verification(checked=tuple(checked), problems=tuple(problems), events=events)


def _changed_files(settings: Settings, ledger: LedgerReader) -> Iterator[str]:
    """Parts of the base that differ from the ledger's record. Reads files only, loads no model."""
    from guardedit import assembly

    parts = [
        part for part in assembly.parts_of_base(settings, ledger) if part.state in ("changed", "damaged")
    ]
    for part in parts:
        yield f"base: {part}"
    # One remedy for all parts: in the folder of another model nearly every file differs.
    if any(part.name.startswith(("weights", "config")) for part in parts):
        yield (
            f"model: {assembly.model_folder(settings)} is not the base model "
            f"{ledger.base_sha256[:12]} of this ledger: restore the changed files, or name the right model "
            "with --model"
        )
    elif parts:
        yield (
            "base: restore the changed files, or see `guardedit base show` and `guardedit base accept` "
            "if the change is intended"
        )


def _check_with_model(settings: Settings, ledger: LedgerReader, tell: Tell) -> Iterator[str]:
    """Load the model, fold the serving epoch's edits and rebuild the memory; yields problems."""
    from guardedit import assembly
    from guardedit.policy.load import load_policy

    policy = load_policy(settings.policy)
    with assembly.borrowed_cache(settings) as cache:
        tell("loading the model")
        loaded = assembly.load_model(settings, policy, cache=cache)
        base = ledger.base_sha256
        if loaded.host.base_sha256 != base:
            yield (
                f"model: {assembly.model_folder(settings)} has digest {loaded.host.base_sha256[:12]}, the "
                f"ledger belongs to {base[:12]}: name the right model with --model"
            )
            return
        # Second moments whose file was lost have now been collected again, in `cache`.
        for part in assembly.parts_of_base(settings, ledger, cache=cache):
            if part.state == "changed":
                yield f"base: collected again, {part}"
        tell("folding the edits of the serving epoch")
        yield from _check_weights(loaded, ledger)
    tell("rebuilding the memory")
    yield from _check_memory(settings, policy, ledger)


def _check_weights(loaded: LoadedModel, ledger: LedgerReader) -> Iterator[str]:
    from guardedit.models.weights.folded import require_recorded

    try:
        require_recorded(loaded.fold.weights_sha256(ledger.edits()), ledger.epoch())
    except GuardeditError as error:
        yield f"weights: {error}"


def _check_memory(settings: Settings, policy: Policy, ledger: LedgerReader) -> Iterator[str]:
    from guardedit import assembly
    from guardedit.memory.fact_sets import facts_sha256

    facts = tuple(ledger.live().values())
    memory = assembly.load_memory(settings, policy)
    memory.rebuild(facts)
    if memory.digest() != facts_sha256(facts):
        yield f"memory: rebuilt from epoch {ledger.epoch().number} it holds other facts than the ledger"
