"""The demo's stream, and before it the search for edits that ruin the model. The guard has no part in it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardedit.demo.screen import Screen
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.demo.disabling import Disabling
    from guardedit.demo.expected import DemoStream
    from guardedit.demo.stream.weighing import Weighing
    from guardedit.policy.schema import Policy

#: Disabling edits in the stream, and how many of them the miner shall find.
DISABLING, MINED = 12, 6
#: Sentences that are in no probe set and no training text.
TEXTS = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Mined:
    """What was found. `bench` is a model of its own, free for comparisons; `told` is for the report."""

    bench: LoadedModel
    weighing: Weighing
    stream: DemoStream
    told: dict[str, Any]


def mine_stream(settings: Settings, rules: Policy, screen: Screen, *, corrections: int, seed: int) -> Mined:
    """Search, then write the stream around what was found. No system has a part in it."""
    from guardedit.assembly import load_model
    from guardedit.demo.stream.building import make_stream
    from guardedit.demo.stream.denominators import denominators, short
    from guardedit.demo.stream.miner import mine
    from guardedit.demo.stream.poison import METHOD, PoisonedEditor, poison

    screen.stage("mining edits that ruin the model")
    started = time.monotonic()
    bench = load_model(settings, rules, extra={METHOD: PoisonedEditor.build})
    weighing = _weighing(settings, bench, seed)
    names = short(bench.host, sorted(weighing.world.by_subject))
    mining = mine(weighing, denominators(bench.host, bench.moments, names), wanted=MINED, seed=seed)
    poisoned = poison(weighing, wanted=DISABLING - len(mining.found), seed=seed, but=mining.found)
    seconds = time.monotonic() - started
    stream = make_stream(
        weighing.world,
        corrections=corrections,
        seed=seed,
        disabling=[*mining.found, *poisoned],
        now_s=time.time(),
        fleeting_s=15.0 + corrections / 10,
    )
    return Mined(
        bench=bench,
        weighing=weighing,
        stream=stream,
        told={
            "disabling_mined": len(mining.found),
            "disabling_poisoned": len(poisoned),
            "mining_seconds": seconds,
            "mining": [_told(weighing, item) for item in mining.tried],
        },
    )


def _weighing(settings: Settings, bench: LoadedModel, seed: int) -> Weighing:
    """Scales for what the model knows: the part of the demo world that its probe set lists."""
    from guardedit.assembly import known_questions, load_probes, model_worker
    from guardedit.demo.held_out import held_out
    from guardedit.demo.stream.weighing import Weighing
    from guardedit.zoo.probes import known_world, read_texts
    from guardedit.zoo.world import World

    probes = load_probes(settings)
    world = known_world(World.load(), [(q.subject, q.relation, q.prompt) for q in probes.questions])
    worker = model_worker(bench)
    seen = {*probes.texts, *(question.prompt for question in probes.questions)}
    return Weighing(
        world=world,
        worker=worker,
        apart=held_out(world, worker, read_texts(TEXTS), seen=seen, seed=seed),
        known_questions=lambda subject: known_questions(probes, subject),
    )


def _told(weighing: Weighing, item: Disabling) -> dict[str, Any]:
    return {
        "prompt": weighing.world.prompt(item.fact, item.wordings[0]),
        "target": item.target,
        "perplexity_ratio": item.harm and item.harm.perplexity_ratio,
        "answers_lost": item.harm and item.harm.answers_lost,
    }
