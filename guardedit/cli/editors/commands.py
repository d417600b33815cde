"""`guardedit editors`: the group of commands about editing methods."""

from __future__ import annotations

from guardedit.cli.editors.ablate import ablate
from guardedit.cli.editors.compare import compare
from guardedit.cli.editors.list import describe, list_
from guardedit.cli.editors.train import train
from guardedit.cli.terminal.options import commands, examples

app = commands("Inspect, measure and train editing methods.")

app.command("list", epilog=examples("guardedit editors list", "guardedit editors list --output json"))(list_)
app.command("describe", epilog=examples("guardedit editors describe rome"))(describe)
app.command(
    epilog=examples(
        "guardedit editors compare --methods ridge,rome --picture methods.png",
        "guardedit editors compare --methods memit,ft-m --sequential 1000 --checkpoints 1,10,100,1000",
        "guardedit editors compare --model ~/models/gpt2 --facts corrections.jsonl --layer 5 --output json",
    )
)(compare)
app.command(
    epilog=examples(
        "guardedit editors ablate",
        "guardedit editors ablate --only 'one layer,no prefixes' --sequential 128 --output json",
    )
)(ablate)
app.command(
    epilog=examples(
        "guardedit editors train mend --out editors",
        "guardedit editors train ke --model ~/models/gpt2 --data known.jsonl --steps 2000",
        "guardedit editors train ke --model ~/models/gpt2 --data known.jsonl --steps 2000 --resume",
    )
)(train)
