"""`guardedit export`: write the serving epoch for other programs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import CommandGroup
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, examples, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.runtime.opening import existing
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly.exporting import Exported

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Write the serving epoch for other programs.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default=False)]


@app.command("hf", epilog=examples("guardedit export hf edited-model"))
def hf(
    folder: Folder,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Write the edited model as a Hugging Face folder.

    It loads with AutoModelForCausalLM and in servers such as vLLM. Facts that only the memory answers are in
    memory_facts.jsonl beside it: the exported model does not know them.
    """
    from guardedit.assembly.exporting import export_epoch

    _export(export_epoch, folder, settings_from(home, policy, model), output)


@app.command("peft", epilog=examples("guardedit export peft adapter"))
def peft(
    folder: Folder,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Write the edits as one LoRA adapter of the base model, for PEFT and vLLM.

    All edits of the serving epoch are one adapter, whose rank is the rank of their change and whose alpha
    equals it. Prints how far logits with the adapter are from the edited model's.
    """
    from guardedit.assembly.exporting import export_adapter

    _export(export_adapter, folder, settings_from(home, policy, model), output)


@app.command("gguf", epilog=examples("guardedit export gguf adapter"))
def gguf(
    folder: Folder,
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Write the edits as one LoRA adapter for llama.cpp, adapter.gguf.

    Load it with `llama-server --lora adapter.gguf` beside the base model's GGUF file.
    """
    from functools import partial

    from guardedit.assembly.exporting import export_adapter

    _export(partial(export_adapter, gguf=True), folder, settings_from(home, policy, model), output)


def _export(write: Callable[..., Exported], folder: Path, settings: Settings, output: Output) -> None:
    from guardedit.policy.load import load_policy

    rules = load_policy(settings.policy)
    with existing(settings) as ledger, progress("loading the model"):
        found = write(settings, rules, ledger, folder)
    show.record(_fields(found), output)


def _fields(found: Exported) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "folder": str(found.folder),
        "epoch": found.epoch,
        "weights_sha256": found.weights_sha256,
        "facts_in_weights": found.facts_in_weights,
        "facts_in_memory": found.facts_in_memory,
    }
    if found.check is None:
        return fields
    check = found.check
    return {
        **fields,
        "rank": found.rank,
        "tokens_compared": check.tokens,
        "logit_difference": _rounded(check.logit_difference),
        "logit_difference_bf16": _rounded(check.logit_difference_16),
        "same_best_token_bf16": _rounded(check.same_best_16),
    }


def _rounded(number: float) -> float:
    """Three digits that count."""
    return number if number == 0 or not math.isfinite(number) else float(f"{number:.3g}")
