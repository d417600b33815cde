"""Prepares the demo: finds known facts and edits that ruin the model, and builds the stream with them.

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
    from guardedit.demo.disabling.rome_search import RomeSearch
    from guardedit.demo.disabling.tester import HarmTester
    from guardedit.demo.stream.expected import DemoStream
    from guardedit.demo.worlds.setting import DemoSetting
    from guardedit.guard import ProbeSet
    from guardedit.policy.schema import Policy


@dataclass(frozen=True, kw_only=True)
class PreparedDemo:
    """The prepared demo.

    Attributes:
        loaded: a model that nothing else uses.
        setting: the world and the sizes.
        tester: tester with the known world and the held-out texts and questions.
        stream: to submit.
        fields: fields of the report.
    """

    loaded: LoadedModel
    setting: DemoSetting
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
    from guardedit.assembly import load_model, load_probes
    from guardedit.demo.disabling.poison import METHOD, PoisonedEditor, poison
    from guardedit.demo.stream.building import make_stream

    loaded = load_model(settings, policy, extra={METHOD: PoisonedEditor.build})
    probes = load_probes(settings)
    setting = _setting(settings, loaded, probes, screen, seed)
    screen.stage("searching for edits that ruin the model")
    started = time.monotonic()
    tester = _tester(setting, loaded, probes, seed)
    search = _search(loaded, tester, setting, seed)
    poisoned = poison(tester, wanted=setting.disabling - len(search.found), seed=seed, taken=search.found)
    seconds = time.monotonic() - started
    stream = make_stream(
        tester.world,
        corrections=corrections,
        seed=seed,
        disabling=[*search.found, *poisoned],
        now_s=time.time(),
        fleeting_s=setting.fleeting_s(corrections),
        known_fate=setting.known_fate,
    )
    return PreparedDemo(
        loaded=loaded,
        setting=setting,
        tester=tester,
        stream=stream,
        fields={
            "world": setting.name,
            "known_facts": len(setting.world.facts),
            "disabling_mined": len(search.found),
            "disabling_poisoned": len(poisoned),
            "mining_seconds": seconds,
            "mining": [_candidate_fields(tester, item) for item in search.tried],
        },
    )


def _setting(
    settings: Settings, loaded: LoadedModel, probes: ProbeSet, screen: DemoProgress, seed: int
) -> DemoSetting:
    from guardedit.assembly import load_prompts
    from guardedit.demo.worlds.setting import embedded_setting, is_embedded, public_setting

    if is_embedded(settings, probes):
        return embedded_setting(probes)
    screen.stage("finding facts that the model knows")
    return public_setting(loaded.host, load_prompts(settings), probes, seed=seed, tell=screen.stage)


def _search(loaded: LoadedModel, tester: HarmTester, setting: DemoSetting, seed: int) -> RomeSearch:
    from guardedit.demo.disabling.denominators import denominators, short
    from guardedit.demo.disabling.rome_search import RomeSearch, search_rome_edits

    if not setting.searched:
        return RomeSearch(tried=())
    assert loaded.moments is not None  # the demo's policy routes to the weights
    names = short(loaded.host, sorted(tester.world.by_subject))
    return search_rome_edits(
        tester, denominators(loaded.host, loaded.moments, names), wanted=setting.searched, seed=seed
    )


def _tester(setting: DemoSetting, loaded: LoadedModel, probes: ProbeSet, seed: int) -> HarmTester:
    """For what the model knows, on texts and questions that its probe set does not contain."""
    from guardedit.assembly import known_questions, model_worker
    from guardedit.demo.disabling.held_out import choose_held_out
    from guardedit.demo.disabling.tester import HarmTester

    worker = model_worker(loaded)
    held_out = choose_held_out(
        setting.world,
        worker,
        setting.texts[: setting.harm_texts],
        seen={*probes.texts, *(question.prompt for question in probes.questions)},
        seed=seed,
        count=setting.harm_questions,
        asked=setting.asked,
        is_right=setting.is_right,
        texts_first=setting.texts_first,
    )
    return HarmTester(
        world=setting.world,
        worker=worker,
        held_out=held_out,
        known_questions=lambda subject: known_questions(probes, subject),
    )


def _candidate_fields(tester: HarmTester, item: DisablingEdit) -> dict[str, Any]:
    return {
        "prompt": tester.world.prompt(item.fact, item.wordings[0]),
        "target": item.target,
        "perplexity_ratio": item.harm and item.harm.perplexity_ratio,
        "answers_lost": item.harm and item.harm.answers_lost,
    }
