"""`guardedit editors list` and `describe`: the editing methods and their properties."""

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
    """List the editing methods.

    stored: what an edit keeps in the ledger. undo: exact where undoing an edit gives the same weights as if
    it had never been made, in order where later edits were built on it. batch: whether the facts of a batch
    are computed together. needs_subject: whether the prompt must contain the subject. trained: whether
    `editors train` must run first.
    """
    from guardedit.editing.registry import Registry

    registry = Registry()
    show.rows(
        [_row(registry, name) for name in registry.names],
        _COLUMNS,
        output,
        empty="no editing method is registered",
    )


def describe(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="A name listed by `editors list`.")],
    *,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Describe one editing method.

    Its idea and source, where it differs from its publication, and its settings under the policy in use.
    Not every method uses every setting.
    """
    from guardedit.policy.load import load_policy

    rules = load_policy(settings_from(policy=policy).policy)
    from guardedit.assembly import edit_settings, joint_settings
    from guardedit.editing.registry import Registry

    method = Registry().resolve(name)
    card, about = _card(name, method), _about(method)
    settings_of = joint_settings if method.card.settings == "joint" else edit_settings
    values = asdict(settings_of(rules))
    if output is Output.JSON:
        show.record({**card, "about": about, "dials": values}, output)
        return
    fields = {
        "about": " ".join(about.split()),
        **card,
        "deviations": [{"from the publication": text} for text in card["deviations"]] or None,
        "settings": [{"setting": setting, "value": value} for setting, value in values.items()],
    }
    show.record(fields, output)


def _row(registry: Registry, name: str) -> dict[str, Any]:
    """A method as a row. If its library is not installed, the row shows the error instead."""
    try:
        return _card(name, registry.resolve(name))
    except UsageError as error:
        return {"method": name, "stored": str(error)}


def _about(method: type[Any]) -> str:
    """The docstring of the method's module: its idea and source."""
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
