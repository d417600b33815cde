"""Prepares the demo: finds edits that ruin the model, and builds the stream with them.

Uses a model of its own. Neither the system nor its guard is involved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardedit.demo.progress import DemoProgress
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.demo.disabling.edit import DisablingEdit
    from guardedit.demo.disabling.tester import HarmTester
    from guardedit.demo.stream.expected import DemoStream
    from guardedit.policy.schema import Policy

#: Disabling edits in the stream, and how many of them to find by searching. The others have injected faults.
DISABLING, SEARCHED = 12, 6
#: The part of `probe_texts.json` that is in no probe set and no training text.
TEXTS = "evaluation"


@dataclass(frozen=True, kw_only=True)
class PreparedDemo:
    """The prepared demo.

    Attributes:
        loaded: a model that nothing else uses.
        tester: tester with the known world and the held-out texts and questions.
        stream: to submit.
        fields: fields of the report.
    """

    loaded: LoadedModel
    tester: HarmTester
    stream: DemoStream
    fields: dict[str, Any]


def prepare_demo(
    settings: Settings, policy: Policy, screen: DemoProgress, *, corrections: int, seed: int
) -> PreparedDemo:
    """Search for disabling edits, inject faults for the missing ones, and build the stream.

    Args:
        settings: names the model.
        policy: gives the settings of the editing methods.
        screen: shows the progress.
        corrections: lines of the stream.
        seed: seed of every random choice.
    """
    from guardedit.assembly import load_model
    from guardedit.demo.disabling.denominators import denominators, short
    from guardedit.demo.disabling.poison import METHOD, PoisonedEditor, poison
    from guardedit.demo.disabling.rome_search import search_rome_edits
    from guardedit.demo.stream.building import make_stream

    screen.stage("searching for edits that ruin the model")
    started = time.monotonic()
    loaded = load_model(settings, policy, extra={METHOD: PoisonedEditor.build})
    assert loaded.moments is not None  # the demo's policy routes to the weights
    tester = _tester(settings, loaded, seed)
    names = short(loaded.host, sorted(tester.world.by_subject))
    search = search_rome_edits(
        tester, denominators(loaded.host, loaded.moments, names), wanted=SEARCHED, seed=seed
    )
    poisoned = poison(tester, wanted=DISABLING - len(search.found), seed=seed, taken=search.found)
    seconds = time.monotonic() - started
    stream = make_stream(
        tester.world,
        corrections=corrections,
        seed=seed,
        disabling=[*search.found, *poisoned],
        now_s=time.time(),
        fleeting_s=15.0 + corrections / 10,
    )
    return PreparedDemo(
        loaded=loaded,
        tester=tester,
        stream=stream,
        fields={
            "disabling_mined": len(search.found),
            "disabling_poisoned": len(poisoned),
            "mining_seconds": seconds,
            "mining": [_candidate_fields(tester, item) for item in search.tried],
        },
    )


def _tester(settings: Settings, loaded: LoadedModel, seed: int) -> HarmTester:
    """For the part of the demo world that the model's probe set contains."""
    from guardedit.assembly import known_questions, load_probes, model_worker
    from guardedit.demo.disabling.held_out import choose_held_out
    from guardedit.demo.disabling.tester import HarmTester
    from guardedit.zoo.probes import known_world, read_texts
    from guardedit.zoo.world import World

    probes = load_probes(settings)
    world = known_world(World.load(), [(q.subject, q.relation, q.prompt) for q in probes.questions])
    worker = model_worker(loaded)
    seen = {*probes.texts, *(question.prompt for question in probes.questions)}
    return HarmTester(
        world=world,
        worker=worker,
        held_out=choose_held_out(world, worker, read_texts(TEXTS), seen=seen, seed=seed),
        known_questions=lambda subject: known_questions(probes, subject),
    )


def _candidate_fields(tester: HarmTester, item: DisablingEdit) -> dict[str, Any]:
    return {
        "prompt": tester.world.prompt(item.fact, item.wordings[0]),
        "target": item.target,
        "perplexity_ratio": item.harm and item.harm.perplexity_ratio,
        "answers_lost": item.harm and item.harm.answers_lost,
    }
