"""What differs between a demo on the embedded model and one on any other: the world, and the sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from guardedit.demo.worlds.stream_world import IsRight, StreamWorld, exact, exact_or_contained

if TYPE_CHECKING:
    from guardedit.core.messages import Fate
    from guardedit.guard import ProbeSet
    from guardedit.memory.context import Prompts
    from guardedit.models.host import ModelHost
    from guardedit.settings import Settings

#: The part of the shipped texts that is in no probe set and no training text.
TEXTS: Final = "evaluation"


@dataclass(frozen=True, kw_only=True)
class DemoSetting:
    """What a demo is about, and how large its parts are.

    Attributes:
        name: `embedded` or `public`; decides which limits the report is compared with.
        world: facts that the model knows.
        asked: from a question to the text that the model is given.
        is_right: whether an answer counts as the wanted one.
        known_fate: fate of a correction that states what the model answers already.
        texts: texts for perplexity that the guard has not seen.
        harm_texts: how many of them harm is measured on.
        disabling: disabling edits in the stream.
        searched: how many of these to find by searching; the others have injected faults.
        harm_questions: questions that are tried for measuring harm.
        texts_first: see `HeldOut`.
        other_subjects: questions about other subjects after the stream.
        chunk: lines submitted before each turn of the loop. Larger: fewer trials.
        fleeting_s: lifetime of fleeting facts, for a number of corrections.
        rome: also compare with ROME as published.
        unguarded_lines: lines of the run without the guard; None for all.
        ruined_questions: questions of each kind for a model that is ruined; None for all. Its answers do not
            end, so that they take most of the time.
    """

    name: str
    world: StreamWorld
    asked: Callable[[str], str]
    is_right: IsRight
    known_fate: Fate
    texts: tuple[str, ...]
    harm_texts: int
    disabling: int
    searched: int
    harm_questions: int
    texts_first: bool
    other_subjects: int
    chunk: int
    fleeting_s: Callable[[int], float]
    rome: bool
    unguarded_lines: int | None
    ruined_questions: int | None


def is_embedded(settings: Settings, probes: ProbeSet) -> bool:
    """Whether the model knows the demo world: then most of its probe set asks for that."""
    from guardedit.zoo.world import World

    if not settings.model:
        return True
    world = World.load()
    known = {
        (fact.subject, fact.relation, world.prompt(fact, n))
        for fact in world.facts
        for n in world.known(fact)
    }
    return 2 * sum((q.subject, q.relation, q.prompt) in known for q in probes.questions) > len(
        probes.questions
    )


def embedded_setting(probes: ProbeSet) -> DemoSetting:
    """The part of the demo world that the model's probe set contains."""
    from guardedit.core.messages import Fate
    from guardedit.zoo.probes import known_world, read_texts
    from guardedit.zoo.world import World

    texts = read_texts(TEXTS)
    return DemoSetting(
        name="embedded",
        world=known_world(World.load(), [(q.subject, q.relation, q.prompt) for q in probes.questions]),
        asked=str,
        is_right=exact,
        known_fate=Fate.UNCHANGED,
        texts=tuple(texts),
        harm_texts=len(texts),
        disabling=12,
        searched=6,
        harm_questions=150,
        texts_first=False,
        other_subjects=300,
        chunk=20,
        fleeting_s=lambda corrections: 15.0 + corrections / 10,
        rome=True,
        unguarded_lines=None,
        ruined_questions=None,
    )


def public_setting(
    host: ModelHost, prompts: Prompts, probes: ProbeSet, *, seed: int, tell: Callable[[str], None]
) -> DemoSetting:
    """Public facts that the model knows. The sizes suit a model of a hundred million parameters."""
    from guardedit.core.messages import Fate
    from guardedit.demo.worlds.finding import find_known_facts
    from guardedit.demo.worlds.public_world import public_world
    from guardedit.prepare.facts import load_public_facts, load_relations
    from guardedit.prepare.probes.texts import general_texts

    known = find_known_facts(host, prompts, probes, seed=seed, tell=tell)
    chat = prompts.form.name == "chat"
    seen = set(probes.texts)
    return DemoSetting(
        name="public",
        world=public_world(known, load_public_facts(), load_relations(), asks_questions=chat),
        asked=prompts.alone,
        is_right=exact_or_contained,
        # The model answers with a sentence, which is not recognised as the same as the object alone.
        known_fate=Fate.ACCEPTED,
        texts=tuple(text for text in chain(*general_texts(TEXTS).values()) if text not in seen),
        harm_texts=30,
        disabling=6,
        searched=0,
        harm_questions=40,
        texts_first=True,
        other_subjects=160,
        chunk=40,
        fleeting_s=lambda corrections: 90.0 + corrections / 4,
        rome=False,
        unguarded_lines=60,
        ruined_questions=25,
    )
