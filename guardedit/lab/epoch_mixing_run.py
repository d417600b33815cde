"""Counts mixed answers on replicas of a loaded model, for `guardedit bench epochs`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from guardedit import assembly
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.lab.epoch_mixing import MixingResult, measure, snapshots_of
from guardedit.policy.schema import Policy
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings
from guardedit.zoo.world import World

#: The editing method. It takes seconds, and the quality of its edits does not matter here.
METHOD = "ridge"
#: How many replicas are asked at the same time, in each measurement.
REPLICAS = (1, 2)


def measure_mixing(
    settings: Settings, policy: Policy, *, answers: int, seed: int, tell: Callable[[str], None]
) -> list[MixingResult]:
    """Load the model, make some epochs, and count mixed answers on one replica and on two.

    Args:
        settings: names the model.
        policy: its memory and editing sections.
        answers: counted in each measurement.
        seed: seed of the choice of facts.
        tell: progress.
    """
    tell("loading the model")
    loaded = assembly.load_model(settings, policy)

    def edit(groups: Sequence[SubjectGroup]) -> tuple[tuple[WeightEdit, ...], str]:
        edits = loaded.editors[METHOD].propose(groups, ()).edits
        return edits, loaded.fold.weights_sha256(edits)

    def replica() -> ServingReplica:
        shard = MemoryShard(assembly.load_memory(settings, policy))
        use_unsure = policy.memory.unsure == "use_fact"
        return ServingReplica(
            loaded.host.twin(),
            loaded.fold,
            [shard],
            use_unsure=use_unsure,
            clock=time.time,
            prompts=assembly.load_prompts(settings),
        )

    tell("making epochs")
    snapshots = snapshots_of(World.load(), edit, base_sha256=loaded.host.base_sha256, seed=seed)
    return [
        measure([replica() for _ in range(count)], snapshots, answers=answers, seed=seed, tell=tell)
        for count in REPLICAS
    ]
