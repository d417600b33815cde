"""`guardedit model`: the group of commands about models in the models' home."""

from __future__ import annotations

from guardedit.cli.model.add import add
from guardedit.cli.model.check import check
from guardedit.cli.model.list import list_
from guardedit.cli.model.prepare import prepare
from guardedit.cli.model.show import show_
from guardedit.cli.terminal.options import commands, examples

app = commands("Fetch, convert, check and prepare language models.")

app.command(
    epilog=examples(
        "guardedit model add smollm2",
        "guardedit model add ~/models/my-llama --name llama",
        "guardedit model add model.Q4_K_M.gguf --name mine",
    )
)(add)
app.command("list", epilog=examples("guardedit model list", "guardedit model list --output json"))(list_)
app.command("show", epilog=examples("guardedit model show smollm2"))(show_)
app.command(epilog=examples("guardedit model check smollm2", "guardedit model check ~/models/my-llama"))(
    check
)
app.command(
    epilog=examples(
        "guardedit model prepare smollm2",
        "guardedit model prepare llama --facts facts.jsonl --budget 30m",
        "guardedit model prepare llama --again edit_card.json",
    )
)(prepare)
