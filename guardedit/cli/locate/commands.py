"""`guardedit locate`: the group of commands about where a model stores facts and where to edit it."""

from __future__ import annotations

from guardedit.cli.locate.sweep import sweep
from guardedit.cli.locate.trace import trace
from guardedit.cli.terminal.options import commands, examples

app = commands("Find where a model stores facts, and where to edit it.")
app.command(
    epilog=examples(
        "guardedit locate trace --count 100 --picture trace.png",
        "guardedit locate trace --model ~/models/gpt2-xl --facts known.jsonl --output json",
    )
)(trace)
app.command(
    epilog=examples(
        "guardedit locate sweep --picture sweep.png",
        "guardedit locate sweep --model ~/models/gpt2-xl --facts facts.jsonl --layers 10,11,12,13,14",
    )
)(sweep)
