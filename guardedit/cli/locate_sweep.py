"""`guardedit locate sweep`: choose where and how a model is edited, by editing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli import show
from guardedit.cli.editors_compare import bar, facts_to_edit
from guardedit.cli.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.editing.setup import Setup
    from guardedit.evaluation.locating.last_token import LayerEffects
    from guardedit.evaluation.sweep.search import Search
    from guardedit.policy.schema import Policy


@dataclass(frozen=True)
class _Found:
    """All that is told at the end."""

    about: dict[str, Any]
    search: Search
    trace: LayerEffects | None


def sweep(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    method: Annotated[str, typer.Option(help="Editing method, as `editors list` names it.")] = "joint",
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Corrections, as for submit; else, for the demo model, facts of its own world.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Facts edited at every candidate.")] = 24,
    layers: Annotated[
        str, typer.Option(help="Layers that may be edited, counted from 0.", metavar="N,N|all")
    ] = "all",
    dials: Annotated[
        bool, typer.Option("--dials/--no-dials", help="Also vary the method's dials at the best place.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the choice of facts, of sampling and of the noise.")] = 0,
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
    spreads = _spreads(method)
    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {picture.parent} for the picture: make it first")
    if trace is not None:
        from guardedit.evaluation.sweep.beside import read_trace

        read_trace(trace)
    if write:
        _refuse_to_change_live_edits(settings)
    cases, texts = facts_to_edit(settings, facts, count=count, seed=seed)
    from guardedit import assembly
    from guardedit.evaluation.editors.cases import vetted
    from guardedit.evaluation.sweep.report import agreement, card_of, numbers
    from guardedit.evaluation.sweep.run import Wanted
    from guardedit.evaluation.sweep.run import sweep as run
    from guardedit.models.guessing import complete_guessed

    started = time.perf_counter()
    setup = _setup(settings, rules, wanted, seed=seed)
    fixed = {kind: set(assembly.policy_dials(rules, of)) for kind, of in _kinds().items()}
    with bar() as tell:
        good = vetted(cases, lambda guesses: complete_guessed(setup.host, guesses))
        if not good:
            raise UsageError(f"the model says the targets of all {len(cases)} facts already: give others")
        effects = _effects(setup, settings, trace, seed=seed, tell=tell)
        found = run(
            setup, Wanted(method=method, layers=setup.layers, vary=dials, fixed=fixed), good, texts, tell=tell
        )
    rows = numbers(found, effects)
    about = {
        "method": method,
        "facts": len(good),
        "already_said": len(cases) - len(good),
        "seed": seed,
        "trace_facts": None if effects is None else effects.facts,
        "trace_window": None if effects is None else effects.window,
        "rank_correlation": agreement(found, effects),
        "usable": found.best.merit.usable,
    }
    card = card_of(
        found,
        base_sha256=setup.host.base_sha256,
        spreads=spreads,
        former=None if spreads else assembly.find_card(settings, setup.host.base_sha256),
        about=about,
        rows=rows,
    )
    written = assembly.write_card(settings, card) if write else None
    if picture is not None:
        from guardedit.evaluation.sweep.picture import draw_sweep

        name = Path(settings.model).name if settings.model else "the demo model"
        draw_sweep(picture, found, effects, title=f"Where {name} is edited: {method}, {len(good)} facts")
    told = {
        "base_sha256": card.base_sha256,
        "layer": card.layer,
        "layers": list(card.layers),
        "dials": {"edit": dict(card.edit), "joint": dict(card.joint)},
        **about,
        "card": written,
        "picture": picture,
        "seconds": time.perf_counter() - started,
    }
    if output is Output.JSON:
        show.record({**told, "sweep": rows}, output)
    else:
        _show(told, _Found(told, found, effects))


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


def _spreads(method: str) -> bool:
    """Whether the method spreads a change; UsageError for one that cannot be swept."""
    from guardedit.editing.registry import SEPARATOR, Registry

    card = Registry().resolve(method.split(SEPARATOR, maxsplit=1)[0]).card
    if card.trained:
        raise UsageError(
            f"{method} edits the layers it was trained for: sweep a method that needs no training"
        )
    return bool(card.spreads)


def _kinds() -> Any:
    from guardedit.editing.edit_card import KINDS

    return KINDS


def _refuse_to_change_live_edits(settings: Settings) -> None:
    """UsageError where a ledger has edits in the weights: another card would fold them otherwise."""
    from guardedit.assembly import last_snapshot

    live = last_snapshot(settings)
    if live is not None and live.edits:
        raise UsageError(
            f"the ledger in {settings.home} has {len(live.edits)} edits in the weights, which another card "
            "would fold otherwise: roll back first, name another --home, or only look, with --no-write"
        )


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
    from guardedit.evaluation.locating.last_token import FACTS, last_token_effects
    from guardedit.evaluation.locating.statements import Statement
    from guardedit.evaluation.locating.trace import TraceSettings
    from guardedit.evaluation.sweep.beside import trace_of

    if path is not None:
        return trace_of(path, setup.host.base_sha256)
    known = load_probes(settings).questions
    statements = [Statement(prompt=q.prompt, subject=q.subject, answer=q.answer) for q in known]
    try:
        return last_token_effects(
            setup.host,
            statements,
            TraceSettings(count=FACTS, seed=seed),
            tell=lambda done, total: tell("tracing", done, total),
        )
    except UsageError as error:
        show.warn(f"no trace to compare with: {error}")
        return None


def _show(told: dict[str, Any], found: _Found) -> None:
    from guardedit.evaluation.sweep.report import dial_table, place_table, problems

    output = Output.TABLE
    for title, table in (
        ("places, each edit alone, then all together (tog.):", place_table(found.search, found.trace)),
        ("dials at the best place, one changed at a time:", dial_table(found.search)),
    ):
        if table:
            show.line({}, output, title)
            show.rows(table, list(table[0]), output, empty="")
    for text in problems(found.search):
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
