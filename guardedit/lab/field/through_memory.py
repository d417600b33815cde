"""Writes facts into the retrieval memory. Questions reach the model through the served read path."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from guardedit import assembly
from guardedit.core.correction import Correction
from guardedit.core.epoch import Epoch, state_sha256
from guardedit.core.serving import Snapshot
from guardedit.lab.field.asking import AskedState
from guardedit.lab.field.written import Written, facts_of
from guardedit.memory.context import Prompts
from guardedit.memory.strategies import STRATEGIES
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.policy.schema import Policy
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings


def by_strategies(
    settings: Settings,
    policy: Policy,
    host: ModelHost,
    corrections: Sequence[Correction],
    names: Sequence[str],
) -> Iterator[tuple[str, Written]]:
    """`write_to_memory` for each of these strategies; "" and the policy's where none is named."""
    for name in names or ("",):
        memory = policy.memory.model_copy(update={"strategy": name or policy.memory.strategy})
        rules = policy.model_copy(update={"memory": memory})
        yield name, write_to_memory(settings, rules, host, corrections)


def write_to_memory(
    settings: Settings, policy: Policy, host: ModelHost, corrections: Sequence[Correction]
) -> Written:
    """All facts in memory, recalled with the policy's thresholds. Nothing is edited.

    Args:
        settings: names the encoder and the model, for the form in which it is asked and told.
        policy: its memory section.
        host: the base model.
        corrections: the facts.
    """
    started = time.perf_counter()
    facts = facts_of(corrections)
    replica = ServingReplica(
        host,
        Fold(host, {}, background_weight=1.0, ridge=1.0),  # folds nothing: there are no edits
        [MemoryShard(assembly.load_memory(settings, policy))],
        use_unsure=policy.memory.unsure == "use_fact",
        prompts=assembly.load_prompts(settings, policy),
    )
    base = host.base_sha256
    epoch = Epoch(
        number=0,
        kind="base",
        base_sha256=base,
        policy_sha256=policy.sha256,
        weights_sha256=base,
        edits=(),
        state_sha256=state_sha256(base, base, facts),
        created_at_s=0.0,
    )
    replica.publish(Snapshot(epoch=epoch, facts=tuple(facts)))

    def texts(questions: Sequence[str], prompts: Prompts) -> list[str]:
        return replica.given(questions, prompts=STRATEGIES[policy.memory.strategy].prompts(prompts))

    def answer(questions: Sequence[str], max_tokens: int | None) -> list[str]:
        return [one.text for one in replica.ask(questions, max_tokens=max_tokens)]

    return Written(
        state=AskedState(host=host, patch=Patch({}), texts=texts, answer=answer),
        placements={"memory": len(facts)},
        seconds=time.perf_counter() - started,
    )
