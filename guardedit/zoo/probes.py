"""Write the demo model's probe set and background text: `python -m guardedit.zoo.probes --model DIR`.

The guard measures on the probe set; the second moments are collected on the background text. A fact enters
the probe set only if the model answers it correctly.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from guardedit.assembly import BACKGROUND, PROBES, TOKENS_PER_DIMENSION
from guardedit.models.background import background_texts
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.models.weights.second_moments import MAX_TOKENS_PER_DIM
from guardedit.zoo.world import ZOO_FOLDER, KnownFact, World

TEXTS_FILE = ZOO_FOLDER / "probe_texts.json"


def probe_prompts(world: World, fact: KnownFact) -> tuple[str, ...]:
    """The questions for a fact in the probe set: the first wordings that training showed with it."""
    return tuple(world.prompt(fact, i) for i in world.known(fact))


def build_probes(
    world: World, texts: Sequence[str], ask: Callable[[Sequence[str]], list[str]]
) -> dict[str, list[Any]]:
    """The probe set as plain data (see `guard.catalogue`): only questions that `ask` answers correctly."""
    rows = [(fact, prompt) for fact in world.facts for prompt in probe_prompts(world, fact)]
    answers = ask([prompt for _, prompt in rows])
    known = {
        prompt: {"subject": fact.subject, "relation": fact.relation, "prompt": prompt, "answer": fact.object}
        for (fact, prompt), answer in zip(rows, answers, strict=True)
        if answer == fact.object
    }
    return {"texts": list(texts), "questions": list(known.values())}


def read_texts(part: str) -> list[str]:
    """The sentences of part `guard` (the guard's probe set) or `evaluation` (never seen by the guard)."""
    texts: dict[str, list[str]] = json.loads(TEXTS_FILE.read_text(encoding="utf-8"))
    return texts[part]


def known_world(world: World, questions: Sequence[tuple[str, str, str]]) -> World:
    """The part of the world that the model knows: facts right in every wording of the probe set.

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


def build_background(host: ModelHost, known: Sequence[str]) -> list[str]:
    """Text that the model generates and statements it knows, as much as the second moments need."""
    width = host.base_matrix(0).shape[1]
    with tempfile.TemporaryDirectory() as folder:
        texts = background_texts(host, known, tokens=TOKENS_PER_DIMENSION * width, folder=Path(folder))
    read = 0
    for count, text in enumerate(texts, start=1):
        read += len(encode(host.tokenizer, text))
        if read >= MAX_TOKENS_PER_DIM * width:
            return texts[:count]
    return texts


def main() -> None:
    """Write `probes.json` and `background.json` beside a model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=ZOO_FOLDER / "model")
    arguments = parser.parse_args()
    host = ModelHost.load(arguments.model)
    probes = build_probes(World.load(), read_texts("guard"), host.complete)
    background = build_background(host, [f"{q['prompt']} {q['answer']}." for q in probes["questions"]])
    for name, body in ((PROBES, probes), (BACKGROUND, background)):
        (arguments.model / name).write_text(json.dumps(body, indent=0) + "\n", encoding="utf-8")
    print(
        f"{arguments.model}: {len(probes['texts'])} texts and {len(probes['questions'])} questions, "
        f"{len(background)} texts of background"
    )


if __name__ == "__main__":
    main()
