"""`guardedit model check`: whether a model's files are whole, and whether it can be edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UnknownLayout
from guardedit.models.home.linking import changed_files, dangling_links
from guardedit.models.home.names import model_names
from guardedit.models.home.prepared import missing_files
from guardedit.models.home.record import read_record
from guardedit.models.home.resolving import find_model
from guardedit.models.home.summary import free_memory, summarise

if TYPE_CHECKING:
    from guardedit.models.host import ModelHost

GIGABYTE = 10**9


def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FOLDER]",
            help="A name listed by `model list`, or a folder. Default: every model that was added.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Format = Output.TABLE,
) -> None:
    """Load a model, and check its files, its layout and what it needs.

    The memory that it needs is said before it is loaded. Digests are compared with those that were recorded
    when it was added. Its layout says which matrices are edited. The exit code is 1 if a digest differs or
    the model cannot be edited.
    """
    models = settings_from().models
    folders = (
        [models / known for known in model_names(models)] if name is None else [find_model(name, models)]
    )
    if not folders:
        show.page(f"no models in {models}; try `guardedit model add smollm2`")
    pages = [_check(folder) for folder in folders]
    if output is Output.JSON:
        show.rows(pages, (), output, empty="")
    else:
        for page in pages:
            show.record(_as_lines(page), output)
    if any(page["problems"] for page in pages):
        raise typer.Exit(Code.FAILED)


def _check(folder: Path) -> dict[str, Any]:
    found, record = summarise(folder), read_record(folder)
    free, peak = free_memory(), found.peak_bytes
    fields: dict[str, Any] = {
        "model": folder.name,
        "architecture": found.architecture,
        "parameters": found.parameters,
        "dtype": ", ".join(found.dtypes),
        "form": found.form,
        "peak_memory_gb": round(peak / GIGABYTE, 1),
        "free_memory_gb": None if free is None else round(free / GIGABYTE, 1),
    }
    warning = "" if free is None or free >= peak else "; that is more than is free, so it may not suffice"
    show.warn(f"{folder.name}: editing it needs up to {peak / GIGABYTE:.1f} GB of memory{warning}")
    problems = [f"{link}: its file is gone; put it back" for link in dangling_links(folder)]
    if record is not None:
        problems += [
            f"{file}: changed since it was added" for file in changed_files(folder, dict(record.files))
        ]
    fields |= _layout(folder, problems, "" if record is None else record.base_sha256)
    missing = missing_files(folder)
    remedy = f"`guardedit model prepare {folder.name}` makes them" if missing else ""
    return {**fields, "problems": problems, "missing": missing, "remedy": remedy}


def _layout(folder: Path, problems: list[str], recorded: str) -> dict[str, Any]:
    """Load the model: its layout and digest. Adds to the problems."""
    from guardedit.models.host import ModelHost

    try:
        with progress(f"loading {folder.name}"):
            host = ModelHost.load(folder)
    except UnknownLayout as error:
        problems.append(str(error))
        return {"editable": False}
    if recorded and recorded != host.base_sha256:
        problems.append(
            f"the weights are {host.base_sha256[:12]}, when it was added {recorded[:12]}: add it again"
        )
    return {
        "editable": True,
        "base_sha256": host.base_sha256,
        "layers": host.layers,
        "context": host.context,
        "layout": list(host.layout_account) or _card_account(host),
    }


def _card_account(host: ModelHost) -> list[str]:
    """Sentences about a layout that comes from a card."""
    layout, (d, f) = host.layout, host.base_matrix(0).shape
    between = f"norm after the MLP: {layout.after_mlp}" if layout.after_mlp else "norm after the MLP: none"
    return [
        f"layout card: {type(host.model).__name__}",
        f"decoder layers: {layout.decoder_layer.removesuffix('.{}')}, {host.layers}",
        f"down projection: {layout.mlp_out}, from f = {f} to d = {d}",
        f"attention: {layout.attention}, {'parallel to' if layout.parallel_attention else 'before'} the MLP",
        between,
        f"final norm: {layout.final_norm}",
        f"head: {layout.head}",
        f"embedding: {layout.embed}",
    ]


def _as_lines(page: dict[str, Any]) -> dict[str, Any]:
    """For a table: lists of texts as tables, and no empty fields."""
    heads = {"layout": "found", "problems": "problem", "missing": "file"}
    shown = {
        name: [{heads[name]: text} for text in value] if name in heads else value
        for name, value in page.items()
    }
    return {name: value for name, value in shown.items() if value not in ("", [], None)}
