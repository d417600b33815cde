"""`guardedit bench`: the group of commands that measure speed and consistency."""

from __future__ import annotations

from guardedit.cli.bench.consolidation import consolidation
from guardedit.cli.bench.edit import edit
from guardedit.cli.bench.epochs import epochs
from guardedit.cli.bench.growth import growth
from guardedit.cli.bench.live import live
from guardedit.cli.bench.memory import memory
from guardedit.cli.bench.proxy import proxy
from guardedit.cli.bench.scope import scope
from guardedit.cli.bench.serve import serve
from guardedit.cli.bench.trial import trial
from guardedit.cli.terminal.options import commands, examples

app = commands("Measure speed and the memory's judgement, and count mixed answers.")
app.command(
    epilog=examples(
        "guardedit bench consolidation mquake.json --sizes 6000",
        "guardedit bench consolidation mquake.json --facts trex.jsonl --patterns pararel.json --answers 40",
    )
)(consolidation)
app.command(epilog=examples("guardedit bench edit --batch 64", "guardedit bench edit --output json"))(edit)
app.command(epilog=examples("guardedit bench growth", "guardedit bench growth --widths '' --output json"))(
    growth
)
app.command(epilog=examples("guardedit bench live", "guardedit bench live --sizes 1000 --corrections 100"))(
    live
)
app.command(
    epilog=examples("guardedit bench memory", "guardedit bench memory --facts 1e3,1e6 --picture memory.png")
)(memory)
app.command(epilog=examples("guardedit bench epochs", "guardedit bench epochs --answers 1000"))(epochs)
app.command(epilog=examples("guardedit bench proxy --facts 10000"))(proxy)
app.command(
    epilog=examples(
        "guardedit bench scope --stores 1,1000", "guardedit bench scope --data data --picture scope.png"
    )
)(scope)
app.command(epilog=examples("guardedit bench serve --clients 1,8,16", "guardedit bench serve --storm 10000"))(
    serve
)
app.command(epilog=examples("guardedit bench trial", "guardedit bench trial --batch 16 --output json"))(trial)
