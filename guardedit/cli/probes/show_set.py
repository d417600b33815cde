"""`guardedit probes show`: what is in the probe set of a model."""

from __future__ import annotations

from guardedit.cli.probes.options import ModelName
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.show import Output


def show_set(model: ModelName = None, *, output: Format = Output.TABLE) -> None:
    """Show the probe set of a model: texts by stratum, questions by relation with examples, fingerprints."""
    settings = settings_from(model=model)
    from guardedit import assembly
    from guardedit.prepare.probes.job import describe_probes

    show.record(describe_probes(assembly.load_probes(settings)), output)
