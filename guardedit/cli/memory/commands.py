"""`guardedit memory`: the group of commands about which questions get facts, and how facts are stated."""

from __future__ import annotations

from guardedit.cli.memory.calibrate import calibrate
from guardedit.cli.memory.check import check
from guardedit.cli.memory.train import train
from guardedit.cli.memory.tune import tune
from guardedit.cli.terminal.options import commands, examples

app = commands(
    "Choose which questions get a fact and how facts are stated to the model, and see whether it obeys them."
)
app.command(
    epilog=examples("guardedit memory tune", "guardedit memory tune --facts known.jsonl --output json")
)(tune)
app.command(epilog=examples("guardedit memory check", "guardedit memory check Norway"))(check)
app.command(
    epilog=examples(
        "guardedit memory calibrate --labelled questions.jsonl --out bands.json",
        "guardedit memory calibrate --labelled questions.jsonl --at-most 0.05 --out bands.json",
    )
)(calibrate)
app.command(
    epilog=examples(
        "guardedit memory train --labelled questions.jsonl --out judge.safetensors",
        "guardedit memory train --from-scratch --epochs 8 --out judge.safetensors",
    )
)(train)
