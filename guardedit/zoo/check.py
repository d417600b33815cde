"""Does the demo model do its job? `python -m guardedit.zoo.check [--text FILE ...] [--output json]`.

Measures what it knows, obeys, takes and speaks, prints a table and JSON, and exits 1 where a number falls
short. With `--sweep` it edits at every layer first and writes the edit card that names the best one.
Without `--text` the perplexity is only shown, since its yardsticks (unigram and trigram) need text to count.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from guardedit.assembly import EDIT_CARD, background
from guardedit.core.protocols import Editor
from guardedit.editing.registry import Registry
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.fold import Fold
from guardedit.models.host import ModelHost
from guardedit.models.statistics import SecondMoments, load_or_collect
from guardedit.settings import Settings
from guardedit.zoo.corpus import held_out_part, training_part
from guardedit.zoo.examine import knows, make_cases, obeys, perplexity, takes_edits
from guardedit.zoo.ngrams import Ngrams, perplexities
from guardedit.zoo.world import ZOO_FOLDER, World

#: What the model must reach: (measure, limit); a limit below the value passes, or above for `_ratio`.
WANTED: Mapping[str, tuple[tuple[str, float], ...]] = {
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


#: What single edits must reach for a layer to be chosen, on the few cases of a sweep.
USABLE = {"efficacy": 0.9, "other_subject": 0.97, "same_subject": 0.92}
#: What a sweep also measures with all edits in the weights at once.
TOGETHER = ("efficacy", "unseen", "other_subject", "perplexity_ratio")


@dataclass(frozen=True)
class Subject:
    """The model under examination, with what edits need."""

    host: ModelHost
    world: World
    texts: tuple[str, ...]
    moments: Mapping[int, SecondMoments]

    def editor(self, layer: int) -> tuple[Editor, Fold]:
        """The default editor and the fold at a layer."""
        dials = EditSettings()
        fold = Fold(
            self.host,
            {layer: self.moments[layer]},
            background_weight=dials.background_weight,
            ridge=dials.ridge,
        )
        setup = Setup(
            host=self.host, fold=fold, moments=self.moments, layer=layer, layers=(layer,), settings=dials
        )
        editor: Editor = Registry().resolve("ridge").build(setup)
        return editor, fold


def load(model: Path, layers: Sequence[int] | None, cache: Path) -> Subject:
    """Load the model and the second moments of `layers` (default: all)."""
    host = ModelHost.load(model)
    world = World.load()
    texts = tuple(json.loads((ZOO_FOLDER / "probe_texts.json").read_text(encoding="utf-8"))["evaluation"])
    chosen = list(range(host.layers)) if layers is None else list(layers)
    ordinary = background(Settings(home=cache, model=str(model)), host)
    return Subject(host, world, texts, load_or_collect(cache, host, ordinary, chosen))


def sweep(subject: Subject, console: Console, *, count: int, seed: int) -> tuple[int, list[dict[str, float]]]:
    """Make `count` edits at every layer, one at a time and together; the best layer has the most merit."""
    cases = make_cases(subject.world, subject.host.complete, count=count, seed=seed)
    rows: list[dict[str, float]] = []
    for layer in sorted(subject.moments):
        with console.status(f"layer {layer}"):
            editor, fold = subject.editor(layer)
            alone, together = (
                takes_edits(subject.host, fold, editor, cases, subject.texts, together=joint)
                for joint in (False, True)
            )
            rows.append({"layer": layer, **alone, **{f"together_{k}": together[k] for k in TOGETHER}})
    return int(max(rows, key=_merit)["layer"]), rows


def _merit(row: Mapping[str, float]) -> tuple[bool, float]:
    """Share of facts answered together for each percent of perplexity, where single edits work at all.

    Edits are served together, and it is perplexity that fills a layer up. NaN has no merit.
    """
    usable = all(row[name] >= limit for name, limit in USABLE.items())
    percent = 100 * max(row["together_perplexity_ratio"] - 1, 1e-4)
    return usable, row["together_efficacy"] / percent


def speaks(subject: Subject, texts: Sequence[Path]) -> dict[str, float]:
    """Perplexity on unseen text against n-gram models counted on the rest of the same files."""
    host = subject.host
    own = perplexity(host.token_logprobs(subject.texts))
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
    # The same tokens for all three: the first two of each text are context only.
    rows = [row[1:] for row in host.token_logprobs([tokenizer.decode(row) for row in ids])]
    mine = perplexity(rows)
    return result | {
        "perplexity_held_out": mine,
        "perplexity_unigram": one,
        "perplexity_trigram": three,
        "below_trigram": float(mine < three),
    }


def passes(name: str, value: float, limit: float) -> bool:
    """NaN never passes."""
    return value <= limit if name.endswith("_ratio") else value >= limit


def show(console: Console, results: Mapping[str, Mapping[str, float]]) -> bool:
    """Print every number beside its limit; whether all limits hold."""
    table = Table("question", "measure", "value", "wanted", "")
    good = True
    for question, values in results.items():
        limits = dict(WANTED.get(question, ()))
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


def samples(subject: Subject) -> list[str]:
    """Continuations for the eye: a collapse is plain to see."""
    starts = ("The old man looked at the", "In the summer of that year", "The river runs through the")
    with_more = [subject.host.complete([start], max_new_tokens=40)[0] for start in starts]
    return [f"{start} {text}" for start, text in zip(starts, with_more, strict=True)]


def main() -> None:
    """Examine the model and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=ZOO_FOLDER / "model")
    parser.add_argument("--text", type=Path, action="append", default=[])
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--sweep", action="store_true", help="edit at every layer and write the edit card")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    console = Console(stderr=arguments.output == "json", soft_wrap=True)
    with tempfile.TemporaryDirectory() as cache:
        card = arguments.model / EDIT_CARD
        if not arguments.sweep and not card.is_file():
            sys.exit(f"{card} is missing: run with --sweep to make it")
        layer = None if arguments.sweep else int(json.loads(card.read_text())["layer"])
        subject = load(arguments.model, None if layer is None else [layer], Path(cache))
        rows: list[dict[str, float]] = []
        if layer is None:
            layer, rows = sweep(subject, console, count=24, seed=arguments.seed + 1)
            body = {"base_sha256": subject.host.base_sha256, "layer": layer, "sweep": rows}
            card.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
            console.print(_sweep_table(rows))
        results = examine(subject, layer, arguments.text, edits=arguments.edits, seed=arguments.seed)
    good = show(console, results)
    for text in samples(subject):
        console.print(text, markup=False)
    if arguments.output == "json":
        print(json.dumps({"layer": layer, "sweep": rows, **results}, indent=1))
    sys.exit(0 if good else 1)


def examine(
    subject: Subject, layer: int, texts: Sequence[Path], *, edits: int, seed: int
) -> dict[str, dict[str, float]]:
    """All four questions, in order."""
    host, world = subject.host, subject.world
    editor, fold = subject.editor(layer)
    cases = make_cases(world, host.complete, count=edits, seed=seed)
    return {
        "knows": knows(world, host.complete, seed=seed),
        "obeys": obeys(world, host.complete, seed=seed),
        "takes_edits": takes_edits(host, fold, editor, cases, subject.texts),
        "speaks": speaks(subject, texts),
    }


def _sweep_table(rows: Sequence[Mapping[str, float]]) -> Table:
    names = ["layer", "efficacy", "unseen", "other_subject", "same_subject", "perplexity_ratio"]
    names += [f"together_{name}" for name in TOGETHER]
    table = Table(
        *(name.replace("_", "\n") for name in names),
        title="24 edits at each layer, one at a time and together",
    )
    for row in rows:
        table.add_row(*(f"{row[name]:.4g}" for name in names))
    return table


if __name__ == "__main__":
    main()
