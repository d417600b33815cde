"""`guardedit ask`: questions to the serving epoch, answered in this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, Tenant, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.serving import Snapshot
from guardedit.runtime.opening import begun, existing, exists
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.policy.schema import Policy


def ask(
    questions: Annotated[
        list[str], typer.Argument(metavar="QUESTION...", help="Each ends where the answer begins.")
    ],
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    tenant: Tenant = "default",
) -> None:
    """Ask the serving epoch.

    Each answer names its epoch, its placement and the fact behind it.

    Loads the model here and only reads the ledger, so it works beside a running coordinator. Before
    there is an epoch the base model answers.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)  # before anything slow
    from guardedit import assembly
    from guardedit.serving.replica import ServingReplica
    from guardedit.serving.shard import MemoryShard

    assembly.unchanged_base(settings)
    with assembly.borrowed_cache(settings) as cache:
        bench = assembly.load_model(settings, rules, cache=cache)
        shard = MemoryShard(assembly.load_memory(settings, rules))
        use_unsure = rules.memory.unsure == "use_fact"
        replica = ServingReplica(bench.host, bench.fold, [shard], use_unsure=use_unsure)
        replica.publish(_snapshot(settings, rules, bench))
        answers = replica.ask(questions, tenant=tenant)
    told = [
        {
            "question": question,
            "answer": answer.text,
            "epoch": answer.epoch,
            "placement": answer.placement,
            "fact": answer.fact_id or None,
            "scope": answer.scope,
            "score": answer.score,
        }
        for question, answer in zip(questions, answers, strict=True)
    ]
    columns = ("question", "answer", "epoch", "placement", "fact", "score")
    show.rows(told, columns, output, empty="")


def _snapshot(settings: Settings, policy: Policy, bench: LoadedModel) -> Snapshot:
    """What is served. In shadow mode that is the base model, whatever the ledger knows."""
    base = bench.host.base_sha256
    if exists(settings):
        with existing(settings) as ledger:
            if begun(ledger):
                ledger.compare_base(base)
                return ledger.snapshot(0 if policy.mode == "shadow" else None)
    from guardedit.ledger.epochs import genesis

    step = genesis(base_sha256=base, policy_sha256=policy.sha256, weights_sha256=base, at_s=time.time())
    return Snapshot(epoch=step.epoch)
