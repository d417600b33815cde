"""`guardedit bench epochs`: does any answer mix two epochs?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.measuring import telling
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.show import Output

if TYPE_CHECKING:
    from guardedit.core.proposal import WeightEdit
    from guardedit.core.protocols import SubjectGroup

#: The method of the edits: it takes seconds, and what it says does not matter here.
METHOD = "ridge"


def epochs(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    answers: Annotated[int, typer.Option(min=1, help="Answers counted in each set-up.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Count answers that mix two epochs, on one replica and on two, while epochs change without pause.

    Each epoch says something else, in memory and in the weights. Exit code 1 when an answer is mixed.
    """
    from guardedit import assembly
    from guardedit.lab.one_epoch import measure, snapshots_of
    from guardedit.policy.load import load_policy
    from guardedit.serving.replica import ServingReplica
    from guardedit.serving.shard import MemoryShard
    from guardedit.zoo.world import World

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    bench = assembly.load_model(settings, rules)

    def edit(groups: Sequence[SubjectGroup]) -> tuple[tuple[WeightEdit, ...], str]:
        edits = bench.editors[METHOD].propose(groups, ()).edits
        return edits, bench.fold.weights_sha256(edits)

    def replica() -> ServingReplica:
        shard = MemoryShard(assembly.load_memory(settings, rules))
        use_unsure = rules.memory.unsure == "use_fact"
        return ServingReplica(bench.host.twin(), bench.fold, [shard], use_unsure=use_unsure, clock=time.time)

    with telling() as tell:
        tell("making epochs")
        made = snapshots_of(World.load(), edit, base_sha256=bench.host.base_sha256, seed=seed)
        found = [
            measure([replica() for _ in range(count)], made, answers=answers, seed=seed, tell=tell)
            for count in (1, 2)
        ]
    rows = [{**asdict(one), "answers_per_s": f"{one.answers_per_s:.0f}"} for one in found]
    if output is Output.JSON:
        show.record({"set_ups": [asdict(one) for one in found]}, output)
    else:
        show.rows(rows, list(rows[0]), output, empty="")
    if any(one.mixed for one in found):
        raise typer.Exit(Code.FAILED)
