"""The guard's probe set for the demo model: `python -m guardedit.zoo.probes --model DIR`.

Knows the world and the sentences; asks the model, so that only what it really knows counts as known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from guardedit.assembly import PROBES
from guardedit.models.host import ModelHost
from guardedit.zoo.world import ZOO_FOLDER, KnownFact, World

TEXTS_FILE = ZOO_FOLDER / "probe_texts.json"
#: Wordings of each fact in the probe set.
WORDINGS = 2


def probe_prompts(world: World, fact: KnownFact) -> tuple[str, ...]:
    """The wordings in which the probe set asks for a fact: the first that training showed with it."""
    return tuple(world.prompt(fact, i) for i in world.shown(fact)[:WORDINGS])


def build_probes(
    world: World, texts: Sequence[str], ask: Callable[[Sequence[str]], list[str]]
) -> dict[str, list[object]]:
    """The probe set as plain data, see `guard.catalogue`: only questions that `ask` answers rightly."""
    rows = [(fact, prompt) for fact in world.facts for prompt in probe_prompts(world, fact)]
    answers = ask([prompt for _, prompt in rows])
    known = {
        prompt: {"subject": fact.subject, "relation": fact.relation, "prompt": prompt, "answer": fact.object}
        for (fact, prompt), said in zip(rows, answers, strict=True)
        if said == fact.object
    }
    return {"texts": list(texts), "questions": list(known.values())}


def read_texts(part: str) -> list[str]:
    """The sentences of the guard (`guard`), or those kept for the evaluation (`evaluation`)."""
    texts: dict[str, list[str]] = json.loads(TEXTS_FILE.read_text(encoding="utf-8"))
    return texts[part]


def known_world(world: World, questions: Sequence[tuple[str, str, str]]) -> World:
    """The part of the world that the model knows: facts that are right in every wording of the probe set.

    Args:
        world: all facts.
        questions: (subject, relation, prompt) of the probe set.
    """
    asked = set(questions)
    facts = [
        fact
        for fact in world.facts
        if all((fact.subject, fact.relation, prompt) in asked for prompt in probe_prompts(world, fact))
    ]
    return World(tuple(facts), world.wordings, world.names)


def main() -> None:
    """Write `probes.json` beside a model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=ZOO_FOLDER / "model")
    arguments = parser.parse_args()
    probes = build_probes(World.load(), read_texts("guard"), ModelHost.load(arguments.model).complete)
    path = arguments.model / PROBES
    path.write_text(json.dumps(probes, indent=0) + "\n", encoding="utf-8")
    print(f"{path}: {len(probes['texts'])} texts, {len(probes['questions'])} questions")


if __name__ == "__main__":
    main()
