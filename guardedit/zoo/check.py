"""Check the demo model: `python -m guardedit.zoo.check [--text FILE ...] [--output json]`.

Runs the four examinations of `zoo.examine`, prints a table and optionally JSON, and exits with 1 when a
number misses its limit. Edits are made by `ridge` at the layer of the edit card (`guardedit locate sweep`
writes one). Without `--text` the perplexity has no limit, because the unigram and trigram baselines need text
to count.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from guardedit.assembly import EDIT_CARD, background, find_card
from guardedit.core.protocols import MethodEditor
from guardedit.editing.edit_card import EditCard
from guardedit.editing.registry import Registry
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments, load_or_collect
from guardedit.settings import Settings
from guardedit.zoo.corpus import held_out_part, training_part
from guardedit.zoo.examine import knows, make_cases, obeys, perplexity, takes_edits
from guardedit.zoo.ngrams import Ngrams, perplexities
from guardedit.zoo.world import ZOO_FOLDER, World

#: Examination -> (measure, limit). A value passes at or above its limit; a `_ratio` passes at or below it.
LIMITS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "knows": (
        ("facts", 1_500),
        ("relations", 25),
        ("subjects_with_several", 300),
        ("recall_shown", 0.95),
        ("recall_hidden", 0.85),
    ),
    "obeys": (("obeys", 0.95), ("others_left_alone", 0.95)),
    "takes_edits": (
        ("efficacy", 0.98),
        ("unseen", 0.85),
        ("other_subject", 0.97),
        ("same_subject", 0.92),
        ("perplexity_ratio", 1.01),
    ),
    "speaks": (("below_trigram", 1.0),),
}


@dataclass(frozen=True)
class ExaminedModel:
    """The model under examination, with the card and second moments that its edits need."""

    host: ModelHost
    world: World
    texts: tuple[str, ...]
    card: EditCard
    moments: Mapping[int, SecondMoments]

    def editor(self) -> tuple[MethodEditor, Fold]:
        """The `ridge` editor and the fold, with the layer and settings of the edit card."""
        layer, values = self.card.layer, dict[str, Any](self.card.edit)
        settings = EditSettings(**values)
        fold = Fold(
            self.host, self.moments, background_weight=settings.background_weight, ridge=settings.ridge
        )
        setup = Setup(
            host=self.host, fold=fold, moments=self.moments, layer=layer, layers=(layer,), settings=settings
        )
        editor: MethodEditor = Registry().resolve("ridge").build(setup)
        return editor, fold


def load(model: Path, cache: Path) -> ExaminedModel:
    """Load the model, its edit card and the second moments of the layer to edit."""
    settings = Settings(home=cache, model=str(model))
    host = ModelHost.load(model)
    card = find_card(settings, host.base_sha256)
    if card is None:
        sys.exit(f"{model / EDIT_CARD} is missing: run `guardedit locate sweep` and copy the card there")
    world = World.load()
    texts = tuple(json.loads((ZOO_FOLDER / "probe_texts.json").read_text(encoding="utf-8"))["evaluation"])
    moments = load_or_collect(cache, host, background(settings, host), [card.layer])
    return ExaminedModel(host, world, texts, card, moments)


def speaks(model: ExaminedModel, texts: Sequence[Path]) -> dict[str, float]:
    """Perplexity on held-out text, beside n-gram models that were counted on the rest of the same files."""
    host = model.host
    own = perplexity(host.token_logprobs(model.texts))
    result = {"perplexity_probe": own}
    if not texts:
        return result
    contents = [path.read_text(encoding="utf-8") for path in texts]
    tokenizer = host.tokenizer
    stream: list[int] = []
    for content in contents:
        part = training_part(content)
        for start in range(0, len(part), 200_000):
            stream += tokenizer(part[start : start + 200_000], verbose=False)["input_ids"]
    held = [line for content in contents for line in held_out_part(content)][:600]
    ids = [tokenizer(line)["input_ids"][:128] for line in held]
    one, three = perplexities(Ngrams.count(stream, vocabulary=len(tokenizer)), ids)
    # All three models score the same tokens: the first two of each text are context only.
    rows = [row[1:] for row in host.token_logprobs([tokenizer.decode(row) for row in ids])]
    mine = perplexity(rows)
    return result | {
        "perplexity_held_out": mine,
        "perplexity_unigram": one,
        "perplexity_trigram": three,
        "below_trigram": float(mine < three),
    }


def passes(name: str, value: float, limit: float) -> bool:
    """Whether the value of measure `name` is within its limit. NaN never passes."""
    return value <= limit if name.endswith("_ratio") else value >= limit


def show(console: Console, results: Mapping[str, Mapping[str, float]]) -> bool:
    """Print every number beside its limit. Returns whether all limits hold."""
    table = Table("question", "measure", "value", "wanted", "")
    good = True
    for question, values in results.items():
        limits = dict(LIMITS.get(question, ()))
        for name, value in values.items():
            limit = limits.get(name)
            mark = ""
            if limit is not None:
                fine = passes(name, value, limit)
                good &= fine
                mark = "pass" if fine else "MISS"
            wanted = "" if limit is None else f"{'<=' if name.endswith('_ratio') else '>='} {limit:g}"
            table.add_row(question, name, f"{value:.4g}", wanted, mark)
    console.print(table)
    return good


def samples(model: ExaminedModel) -> list[str]:
    """A few continuations to read: a collapsed model is obvious from them."""
    starts = ("The old man looked at the", "In the summer of that year", "The river runs through the")
    with_more = [model.host.complete([start], max_new_tokens=40)[0] for start in starts]
    return [f"{start} {text}" for start, text in zip(starts, with_more, strict=True)]


def main() -> None:
    """Examine the model and print the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=ZOO_FOLDER / "model")
    parser.add_argument("--text", type=Path, action="append", default=[])
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.output == "json", soft_wrap=True)
    with tempfile.TemporaryDirectory() as cache:
        model = load(arguments.model, Path(cache))
        results = examine(model, arguments.text, edits=arguments.edits, seed=arguments.seed)
    good = show(console, results)
    for text in samples(model):
        console.print(text, markup=False)
    if arguments.output == "json":
        print(json.dumps({"layer": model.card.layer, **results}, indent=1))
    sys.exit(0 if good else 1)


def examine(
    model: ExaminedModel, texts: Sequence[Path], *, edits: int, seed: int
) -> dict[str, dict[str, float]]:
    """The numbers of all four examinations, by name. `edits` single edits are made."""
    host, world = model.host, model.world
    editor, fold = model.editor()
    cases = make_cases(world, host.complete, count=edits, seed=seed)
    return {
        "knows": knows(world, host.complete, seed=seed),
        "obeys": obeys(world, host.complete, seed=seed),
        "takes_edits": takes_edits(host, fold, editor, cases, model.texts),
        "speaks": speaks(model, texts),
    }


if __name__ == "__main__":
    main()
