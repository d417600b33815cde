"""`guardedit model list`: the models in the models' home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.models.home.names import model_names
from guardedit.models.home.prepared import prepared_state
from guardedit.models.home.summary import summarise

_COLUMNS = ("name", "architecture", "parameters", "form", "prepared", "size")
MEGABYTE = 1_000_000


def list_(*, output: Format = Output.TABLE) -> None:
    """List the models that were added.

    form: chat if questions go through the tokenizer's chat template, else raw. prepared: whether the files
    are there that facts in the weights need (yes, partly or no); `memory-only` needs none of them.
    """
    models = settings_from().models
    rows = [_row(models / name) for name in model_names(models)]
    empty = f"no models in {models}; try `guardedit model add smollm2`"
    show.rows(rows, _COLUMNS, output, empty=empty)


def _row(folder: Path) -> dict[str, Any]:
    """A model as a row; one that cannot be read shows the error."""
    try:
        found = summarise(folder)
    except UsageError as error:
        return {"name": folder.name, "architecture": str(error)}
    return {
        "name": folder.name,
        "architecture": found.architecture,
        "parameters": found.parameters,
        "form": found.form,
        "prepared": prepared_state(folder),
        "size": f"{found.size_bytes // MEGABYTE} MB",
        "size_bytes": found.size_bytes,
        "folder": str(folder),
    }
