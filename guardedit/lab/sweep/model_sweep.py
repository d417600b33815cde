"""Runs a sweep on the model of a home folder, with the checks before it and the edit card after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from guardedit import assembly
from guardedit.core.errors import UsageError, WrongBaseModel
from guardedit.editing.edit_card import KINDS, EditCard
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.choosing import unknown_to
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.locating.last_token import LayerEffects
from guardedit.lab.sweep.report import card_of
from guardedit.lab.sweep.run import SweepRequest, Tell, card_of_method, sweep
from guardedit.lab.sweep.search import SweepResult
from guardedit.lab.sweep.tracing import read_trace, small_trace, trace_of
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSweep:
    """The result of a sweep, and the edit card made from it.

    Attributes:
        result: every candidate and the best one.
        effects: tracing effects by layer; None where the model answers nothing that could be traced.
        card: the edit card with the best candidate. Not written yet.
        facts: number of facts that were edited.
        already_known: number of facts left out because the model already answers them with their targets.
    """

    result: SweepResult
    effects: LayerEffects | None
    card: EditCard
    facts: int
    already_known: int


def check_sweep(settings: Settings, method: str, trace: Path | None, *, write: bool) -> None:
    """Check before a sweep for problems that would otherwise appear, or do harm, only at its end.

    Raises:
        UsageError: an unknown method or one that is trained for its layers, a trace that cannot be read, or
            edits in the weights that another card would fold to other weights.
    """
    if card_of_method(Registry(), method).trained:
        raise UsageError(
            f"{method} edits the layers it was trained for: sweep a method that needs no training"
        )
    if trace is not None:
        read_trace(trace)
    if write:
        _require_no_live_edits(settings)


def sweep_model(
    settings: Settings,
    policy: Policy,
    cases: Sequence[EditCase],
    texts: Sequence[str],
    *,
    method: str,
    layers: tuple[int, ...] | None,
    vary: bool,
    seed: int,
    trace: Path | None,
    tell: Tell,
    warn: Callable[[str], None],
) -> ModelSweep:
    """Load the model, edit the cases at every candidate, and make the edit card of the best one.

    Args:
        settings: names the model.
        policy: settings that its editing section sets are not varied.
        cases: cases to edit.
        texts: texts for measuring perplexity.
        method: name in the registry.
        layers: layers that may be edited; None: all.
        vary: also vary the method's settings at the best place.
        seed: seed of sampling and of the noise.
        trace: output of `guardedit locate trace --output json`; None: a small trace is made.
        tell: progress.
        warn: called with a sentence if there is no trace to compare with.

    Raises:
        EditError: no layer takes any edit.
        UsageError: a layer does not exist, or there is nothing to edit.
    """
    setup = _setup(settings, policy, layers, seed=seed)
    fixed = {kind: set(assembly.policy_settings(policy, of)) for kind, of in KINDS.items()}
    editable = unknown_to(setup.host, cases)
    effects = _effects(setup, settings, trace, seed=seed, tell=tell, warn=warn)
    request = SweepRequest(method=method, layers=setup.layers, vary=vary, fixed=fixed)
    result = sweep(setup, request, editable, texts, tell=tell)
    known = len(cases) - len(editable)
    card = _card(settings, setup, result, effects, method=method, seed=seed, facts=len(editable), known=known)
    return ModelSweep(result=result, effects=effects, card=card, facts=len(editable), already_known=known)


def base_change(settings: Settings) -> str:
    """The next start's error about changed parts of the base, such as a new edit card; "" for none."""
    try:
        assembly.require_unchanged_base(settings)
    except WrongBaseModel as changed:
        return str(changed)
    return ""


def _require_no_live_edits(settings: Settings) -> None:
    live = assembly.last_snapshot(settings)
    if live is not None and live.edits:
        raise UsageError(
            f"the ledger in {settings.home} has {len(live.edits)} edits in the weights, which would fold to "
            "other weights with another edit card: roll back first, name another --home, or give --no-write"
        )


def _setup(settings: Settings, policy: Policy, layers: tuple[int, ...] | None, *, seed: int) -> Setup:
    """The setup with second moments of all layers that may be edited.

    An existing edit card is not used: otherwise a second sweep would start from the first one's result.
    """
    host = assembly.load_host(settings)
    layers = layers or tuple(range(host.layers))
    return assembly.load_setup(
        settings, policy, layer=layers[0], layers=layers, seed=seed, host=host, use_card=False
    )


def _effects(
    setup: Setup, settings: Settings, path: Path | None, *, seed: int, tell: Tell, warn: Callable[[str], None]
) -> LayerEffects | None:
    if path is not None:
        return trace_of(path, setup.host.base_sha256)
    known = assembly.load_probes(settings).questions
    try:
        return small_trace(setup.host, known, seed=seed, tell=partial(tell, "tracing"))
    except UsageError as error:
        warn(f"no trace to compare with: {error}")
        return None


def _card(
    settings: Settings,
    setup: Setup,
    result: SweepResult,
    effects: LayerEffects | None,
    *,
    method: str,
    seed: int,
    facts: int,
    known: int,
) -> EditCard:
    base = setup.host.base_sha256
    layers: tuple[int, ...] | None = None
    if not card_of_method(Registry(), method).spreads:
        # A sweep of one-layer methods says nothing about where other methods should spread a change.
        layers = (result.single.place.layer,)
        with suppress(UsageError):  # an unusable card is replaced by this one
            former = assembly.find_card(settings, base)
            layers = layers if former is None else former.layers
    about = {"method": method, "seed": seed, "facts": facts, "already_said": known}
    return card_of(result, effects, base_sha256=base, about=about, layers=layers)
