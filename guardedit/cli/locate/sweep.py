"""`guardedit locate sweep`: choose where and how a model is edited, by editing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.measuring import Facts, bar, facts_to_edit, unsaid
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    MOST_SEED,
    Format,
    Home,
    Model,
    PolicyFile,
    check_picture,
    settings_from,
)
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError, WrongBaseModel
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.editing.edit_card import EditCard
    from guardedit.editing.setup import Setup
    from guardedit.lab.locating.last_token import LayerEffects
    from guardedit.lab.sweep.search import Search
    from guardedit.policy.schema import Policy


def sweep(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    method: Annotated[str, typer.Option(help="Editing method, as `editors list` names it.")] = "joint",
    facts: Facts = None,
    count: Annotated[int, typer.Option(min=1, help="Facts edited at every candidate.")] = 24,
    layers: Annotated[
        str, typer.Option(help="Layers that may be edited, counted from 0.", metavar="N,N|all")
    ] = "all",
    dials: Annotated[
        bool, typer.Option("--dials/--no-dials", help="Also vary the method's dials at the best place.")
    ] = True,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts, of sampling and of the noise.")
    ] = 0,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Output of `locate trace --output json`; else a small trace is made.",
            metavar="FILE.json",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Tracing and editing by layer, as PNG.", metavar="FILE.png", show_default=False),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Keep the result as the model's edit card.")
    ] = True,
    output: Format = Output.TABLE,
) -> None:
    """Choose layers and dials by editing, and write the edit card that every method then uses.

    Edits the same facts in every layer alone and, for methods that spread a change, in every window of three:
    each edit alone in the model, and all at once in it. Then varies one dial after the other at the best
    place, keeping what is better. What the policy sets is left as it is: policy goes before card.

    The card is kept in the home folder under the base model's hash. Copied to `edit_card.json` in the
    model's folder it goes with the model.

    Causal tracing stands beside it for comparison; it does not predict the best layer (arXiv:2301.04213).
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    wanted = _layers(layers)
    _check(settings, method, picture, trace, write=write)  # before anything slow
    cases, texts = facts_to_edit(settings, facts, count=count, seed=seed)
    from guardedit import assembly
    from guardedit.editing.edit_card import KINDS
    from guardedit.lab.sweep.run import Wanted
    from guardedit.lab.sweep.run import sweep as run

    started = time.perf_counter()
    setup = _setup(settings, rules, wanted, seed=seed)
    fixed = {kind: set(assembly.policy_dials(rules, of)) for kind, of in KINDS.items()}
    with bar() as tell:
        good = unsaid(setup.host, cases)
        effects = _effects(setup, settings, trace, seed=seed, tell=tell)
        sought = Wanted(method=method, layers=setup.layers, vary=dials, fixed=fixed)
        found = run(setup, sought, good, texts, tell=tell)
    about = {"method": method, "seed": seed, "facts": len(good), "already_said": len(cases) - len(good)}
    card = _card(settings, setup, found, effects, about)
    written = assembly.write_card(settings, card) if write else None
    if written:
        _warn_of_another_base(settings)
    if picture is not None:
        from guardedit.lab.sweep.picture import draw_sweep

        name = Path(settings.model).name if settings.model else "the demo model"
        draw_sweep(picture, found, effects, title=f"Where {name} is edited: {method}, {len(good)} facts")
    seconds = time.perf_counter() - started
    told = {
        "base_sha256": card.base_sha256,
        "layer": card.layer,
        "layers": list(card.layers),
        "dials": {"edit": dict(card.edit), "joint": dict(card.joint)},
        **card.about,
        "card": written,
        "picture": picture,
        "seconds": seconds,
    }
    if output is Output.JSON:
        show.record({**told, "sweep": card.sweep}, output)
    else:
        _show(told, found, effects)


def _check(settings: Settings, method: str, picture: Path | None, trace: Path | None, *, write: bool) -> None:
    """UsageError for what would fail, or do harm, at the end."""
    from guardedit.editing.registry import Registry
    from guardedit.lab.sweep.beside import read_trace
    from guardedit.lab.sweep.run import card_of_method

    if card_of_method(Registry(), method).trained:
        raise UsageError(
            f"{method} edits the layers it was trained for: sweep a method that needs no training"
        )
    check_picture(picture)
    if trace is not None:
        read_trace(trace)
    if write:
        _refuse_to_change_live_edits(settings)


def _layers(text: str) -> tuple[int, ...] | None:
    """None for all of them; UsageError for what is no list of layers."""
    if text.strip() == "all":
        return None
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 0:
        raise UsageError(f"--layers {text!r} is neither all nor a list of layers: write them as 2,3,4")
    return found


def _refuse_to_change_live_edits(settings: Settings) -> None:
    """UsageError where a ledger has edits in the weights: another card would fold them otherwise."""
    from guardedit.assembly import last_snapshot

    live = last_snapshot(settings)
    if live is not None and live.edits:
        raise UsageError(
            f"the ledger in {settings.home} has {len(live.edits)} edits in the weights, which another card "
            "would fold otherwise: roll back first, name another --home, or only look, with --no-write"
        )


def _warn_of_another_base(settings: Settings) -> None:
    """A ledger that was begun with another card, or with none, wants to hear that this one is meant."""
    from guardedit.assembly import unchanged_base

    try:
        unchanged_base(settings)
    except WrongBaseModel as changed:
        show.warn(f"before the next start: {changed}")


def _setup(settings: Settings, rules: Policy, wanted: tuple[int, ...] | None, *, seed: int) -> Setup:
    """With second moments of all layers that may be edited; the dials are the policy's and the defaults'.

    An earlier card must have no say, or a sweep would give another result when it is run again.
    """
    from guardedit import assembly

    host = assembly.load_host(settings)
    wanted = wanted or tuple(range(host.layers))
    return assembly.load_setup(
        settings, rules, layer=wanted[0], layers=wanted, seed=seed, host=host, use_card=False
    )


def _effects(
    setup: Setup, settings: Settings, path: Path | None, *, seed: int, tell: Callable[[str, int, int], None]
) -> LayerEffects | None:
    """From the file, else measured; None where the model answers none of the probe set's questions."""
    from guardedit.assembly import load_probes
    from guardedit.lab.sweep.beside import small_trace, trace_of

    if path is not None:
        return trace_of(path, setup.host.base_sha256)
    known = load_probes(settings).questions
    try:
        return small_trace(setup.host, known, seed=seed, tell=partial(tell, "tracing"))
    except UsageError as error:
        show.warn(f"no trace to compare with: {error}")
        return None


def _card(
    settings: Settings, setup: Setup, found: Search, effects: LayerEffects | None, about: dict[str, Any]
) -> EditCard:
    from guardedit.assembly import find_card
    from guardedit.editing.registry import Registry
    from guardedit.lab.sweep.report import card_of
    from guardedit.lab.sweep.run import card_of_method

    base = setup.host.base_sha256
    if card_of_method(Registry(), about["method"]).spreads:
        return card_of(found, effects, base_sha256=base, about=about)
    # A method of one layer says nothing about where others should spread a change: as it was, then.
    layers: tuple[int, ...] = (found.single.place.layer,)
    with suppress(UsageError):  # a card that nobody can use is what this one replaces
        former = find_card(settings, base)
        layers = layers if former is None else former.layers
    return card_of(found, effects, base_sha256=base, about=about, layers=layers)


def _show(told: dict[str, Any], found: Search, effects: LayerEffects | None) -> None:
    from guardedit.lab.sweep.report import dial_table, place_table, problems

    output = Output.TABLE
    for title, table in (
        ("places, each edit alone, then all together (tog.):", place_table(found, effects)),
        ("dials at the best place, one changed at a time:", dial_table(found)),
    ):
        if table:
            show.line({}, output, title)
            show.rows(table, list(table[0]), output, empty="")
    for text in problems(found):
        show.warn(text)
    show.line({}, output, _summary(told))


def _summary(told: dict[str, Any]) -> str:
    changed = ", ".join(
        f"{name} {value:g}" for part in told["dials"].values() for name, value in part.items()
    )
    return (
        f"{told['facts']} facts, {told['already_said']} left out because the model says so already. "
        f"Layer {told['layer']}, spread over {told['layers']}; dials: {changed or 'as they were'}. "
        f"Rank correlation of tracing and editing over layers: {show.cell(told['rank_correlation'])}. "
        f"{told['seconds']:.0f} s. Card: {told['card'] or 'not written'}."
        + (f" Picture: {told['picture']}" if told["picture"] else "")
    )
