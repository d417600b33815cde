"""`guardedit editors list` and `describe`: what methods there are, and what each says of itself."""

from __future__ import annotations

import inspect
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.editing.registry import Registry

_COLUMNS = ("method", "family", "paper", "stored", "undo", "batch", "needs_subject", "trained")


def list_(*, output: Format = Output.TABLE) -> None:
    """List the editing methods: what each stores, how it is undone, and what it needs."""
    from guardedit.editing.registry import Registry

    registry = Registry()
    show.rows(
        [_row(registry, name) for name in registry.names],
        _COLUMNS,
        output,
        empty="no editing method is registered",
    )


def describe(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="A name that `editors list` knows.")],
    *,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Describe one method: where it differs from its publication, and the dials as the policy sets them.

    Not every method reads every dial.
    """
    from guardedit.policy.load import load_policy

    rules = load_policy(settings_from(policy=policy).policy)
    from guardedit.assembly import edit_settings, joint_settings
    from guardedit.editing.registry import Registry

    found = Registry().resolve(name)
    card = _card(name, found)
    settings = joint_settings if found.card.dials == "joint" else edit_settings
    dials = asdict(settings(rules))
    if output is Output.JSON:
        show.record({**card, "about": _about(found), "dials": dials}, output)
        return
    told = {field: value for field, value in card.items() if field != "deviations"}
    deviations = [{"from the publication": text} for text in card["deviations"]]
    rows = [{"dial": dial, "value": value} for dial, value in dials.items()]
    about = " ".join(_about(found).split())
    show.record({"about": about, **told, "deviations": deviations or None, "dials": rows}, output)


def _row(registry: Registry, name: str) -> dict[str, Any]:
    """The card; a method whose library is missing must not hide the others."""
    try:
        return _card(name, registry.resolve(name))
    except UsageError as error:
        return {"method": name, "stored": str(error)}


def _about(method: type[Any]) -> str:
    """What its module says of it: the idea, the source, and what it is good for."""
    return inspect.getdoc(sys.modules[method.__module__]) or ""


def _card(name: str, method: type[Any]) -> dict[str, Any]:
    card = method.card
    return {
        "method": name,
        "family": card.family,
        "paper": card.paper,
        "stored": card.stores,
        "undo": card.undo,
        "batch": card.batch,
        "needs_subject": card.needs_subject,
        "reads_live": card.reads_live,
        "trained": card.trained,
        "deviations": card.deviations,
    }
