"""`guardedit model show`: what is recorded about a model, and what was found when it was prepared."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.models.home.prepared import PREPARED_PAGE, missing_files
from guardedit.models.home.record import read_record
from guardedit.models.home.resolving import find_model
from guardedit.models.home.summary import summarise

#: Prepared files that are shown whole; of the others only the number of entries is.
_SHOWN = ("edit_card.json", "memory_card.json", "noise.json")


def show_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name listed by `model list`, or a folder.")],
    *,
    output: Format = Output.TABLE,
) -> None:
    """Show where a model comes from, and what `model prepare` found.

    The edit card says which layers are edited and with which settings; the memory card how facts are put
    before a question, and how well the model obeys; the noise how many answers harmless edits change.
    """
    folder = find_model(name, settings_from().models)
    record, found = read_record(folder), summarise(folder)
    fields: dict[str, Any] = {"folder": str(folder), **({} if record is None else asdict(record))}
    fields |= {"architecture": found.architecture, "parameters": found.parameters, "form": found.form}
    fields |= {"size_bytes": found.size_bytes, "missing": missing_files(folder)}
    fields |= {path.removesuffix(".json"): _read(folder / path) for path in _SHOWN}
    fields |= {"probes": _counts(_read(folder / "probes.json"))}
    if output is Output.JSON:
        show.record(fields, output)
        return
    show.page(_page(fields))
    page = folder / PREPARED_PAGE
    if page.is_file():
        show.page("\n" + page.read_text(encoding="utf-8", errors="replace"))


def _page(fields: dict[str, Any]) -> str:
    """The fields as text, nested ones indented."""
    return "\n".join(_lines(fields, ""))


def _lines(fields: dict[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{show.printable(str(name))}:", *_lines(value, f"{indent}  ")]
        elif value not in (None, "", [], (), {}):
            lines.append(f"{indent}{show.printable(str(name))}: {show.printable(_text(value))}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def _read(path: Path) -> Any:
    """The content of a JSON file; None where there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; remove it, and prepare the model again") from error


def _counts(probes: Any) -> dict[str, int] | None:
    """Number of entries of each list in a probe set."""
    if not isinstance(probes, dict):
        return None
    return {name: len(entries) for name, entries in probes.items() if isinstance(entries, list)}
