"""Finds the public facts that a model knows: of its probe set, held-out ones, others of their subjects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from guardedit.guard import ProbeSet
from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.prepare.facts import PublicFact, load_public_facts
from guardedit.prepare.probes.candidates import in_turn
from guardedit.prepare.probes.known import SCREEN_NATS, find_places, margins, screen

#: Most held-out facts that a model is asked for, and most further facts about subjects of which it knows one.
ASKED, ASKED_FURTHER = 120, 100


def find_known_facts(
    host: ModelHost, prompts: Prompts, probes: ProbeSet, *, seed: int, tell: Callable[[str], None]
) -> list[PublicFact]:
    """Public facts that the model gives rightly in two wordings.

    Args:
        host: the base model.
        prompts: how it is asked.
        probes: its probe set, whose questions it is known to answer.
        seed: seed of the order in which held-out facts are tried.
        tell: progress.
    """
    asked = {(known.subject, known.relation) for known in probes.questions}
    of_probes = [fact for fact in load_public_facts() if (fact.subject, fact.relation) in asked]
    others = [fact for fact in load_public_facts("held_out") if (fact.subject, fact.relation) not in asked]
    known = [*of_probes, *_ask(host, prompts, others, "held-out facts", most=ASKED, seed=seed, tell=tell)]
    # After an edit of one of them, the others of its subject must be what they were.
    further = further_facts(known)
    return [
        *known,
        *_ask(host, prompts, further, "further facts", most=ASKED_FURTHER, seed=seed, tell=tell),
    ]


def further_facts(known: Sequence[PublicFact]) -> list[PublicFact]:
    """The public facts about the same subjects in relations that are not among the known facts."""
    relations = defaultdict[str, set[str]](set)
    for fact in known:
        relations[fact.subject].add(fact.relation)
    return [
        fact
        for fact in load_public_facts()
        if fact.subject in relations and fact.relation not in relations[fact.subject]
    ]


def _ask(
    host: ModelHost,
    prompts: Prompts,
    facts: Sequence[PublicFact],
    name: str,
    *,
    most: int,
    seed: int,
    tell: Callable[[str], None],
) -> list[PublicFact]:
    """The facts that the model knows, among at most `most` of those whose statement is likely to it."""
    order = in_turn(facts, seed=seed)
    tell(f"scoring {len(order)} {name}")
    scores = screen(host, order)
    likely = [fact for fact, score in zip(order, scores, strict=True) if score > SCREEN_NATS][:most]
    tell(f"asking for {len(likely)} {name}")
    return list(_known(host, prompts, likely))


def _known(host: ModelHost, prompts: Prompts, facts: Sequence[PublicFact]) -> Iterable[PublicFact]:
    """Those whose object is what the model says, in both wordings."""
    found = find_places(host, prompts, facts)
    rows = [(fact, places) for fact, places in zip(facts, found, strict=True) if places is not None]
    said = iter(margins(host, prompts, [place for _, places in rows for place in places]))
    for fact, places in rows:
        own = list(islice(said, len(places)))
        if min(own) > 0:
            yield fact
