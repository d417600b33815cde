"""`guardedit memory`: the group of commands about how facts in memory are stated to the model."""

from __future__ import annotations

from guardedit.cli.memory.check import check
from guardedit.cli.memory.tune import tune
from guardedit.cli.terminal.options import commands, examples

app = commands("Choose how facts in memory are stated to the model, and see whether it obeys them.")
app.command(
    epilog=examples("guardedit memory tune", "guardedit memory tune --facts known.jsonl --output json")
)(tune)
app.command(epilog=examples("guardedit memory check", "guardedit memory check Norway"))(check)
