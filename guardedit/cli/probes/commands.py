"""`guardedit probes`: the group of commands about the texts and questions that the guard measures on."""

from __future__ import annotations

from guardedit.cli.probes.build import build
from guardedit.cli.probes.check import check
from guardedit.cli.probes.show_set import show_set
from guardedit.cli.terminal.options import commands, examples

app = commands("Build and check the texts and questions that the guard measures on.")
app.command(
    epilog=examples(
        "guardedit probes build smollm2",
        "guardedit probes build ~/models/my-llama --questions 200 --texts sentences.txt",
    )
)(build)
app.command("show", epilog=examples("guardedit probes show", "guardedit probes show smollm2 --output json"))(
    show_set
)
app.command(
    epilog=examples("guardedit probes check smollm2", "guardedit probes check --policy my-policy.yaml")
)(check)
