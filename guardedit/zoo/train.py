"""Train the demo model: `python -m guardedit.zoo.train --facts FILE --text FILE [--text FILE]`.

A model in the GPT-2 architecture learns a small world by heart, learns to obey a correction in its context,
and learns enough prose to make a collapse visible. Every step draws its rows from `(seed, step)`, so a
resumed run sees the same data as an uninterrupted one. A run on another machine gives a model of the same
quality but not the same bytes, because bf16 sums depend on the number of threads.

`model/README.md` records which settings worked and which did not.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from guardedit.zoo.corpus import END, FactRows, training_part
from guardedit.zoo.trainer import Trainer, TrainerSettings
from guardedit.zoo.world import World, load_relations, read_facts, select_world

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import Tensor

MODEL_FOLDER = Path(__file__).parent / "model"


@dataclass(frozen=True)
class Corpus:
    """Token streams and subjects from which training rows are drawn."""

    world: World
    tokenizer: Tokenizer
    prose: list[NDArray[np.uint16]]  # token ids, one stream per text file
    strangers: list[str]  # subjects outside the world


def train_tokenizer(world: World, texts: list[str], size: int) -> Tokenizer:
    """Train a byte-level BPE of `size` tokens on the prose and on every statement of the world."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    statements = [
        f"{world.prompt(fact, i)} {fact.object}."
        for fact in world.facts
        for i in range(len(world.wordings[fact.relation]))
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text[:6_000_000] for text in texts] + statements * 2, trainer)
    return tokenizer


def read_corpus(
    facts: Path, texts: list[Path], settings: TrainerSettings, tokenizer: Tokenizer | None
) -> Corpus:
    """Choose the world, train the tokenizer unless it is given, and tokenise the prose."""
    _, wordings = load_relations()
    everything = read_facts(facts, wordings)
    world = select_world(everything, count=settings.world_facts)
    contents = [training_part(path.read_text(encoding="utf-8")) for path in texts]
    tokenizer = tokenizer or train_tokenizer(world, contents, settings.vocabulary)
    known = {fact.subject for fact in world.facts}
    strangers = sorted({fact.subject for fact in everything} - known)
    random.Random(1).shuffle(strangers)
    streams = [_tokenise(tokenizer, text) for text in contents]
    return Corpus(world, tokenizer, streams, strangers[:3_000])


def _tokenise(tokenizer: Tokenizer, text: str) -> NDArray[np.uint16]:
    pieces = [text[start : start + 200_000] for start in range(0, len(text), 200_000)]
    ids = [np.array(tokenizer.encode(piece).ids, dtype=np.uint16) for piece in pieces]
    return np.concatenate(ids)


def draw_batch(corpus: Corpus, settings: TrainerSettings, step: int) -> tuple[Tensor, Tensor, int]:
    """Rows of one step: tokens [rows, T] int64, loss weights [rows, T] float32, number of prose rows."""
    rng = random.Random(f"{settings.seed}:{step}")
    tokens = np.zeros((settings.rows, settings.row_tokens), np.int64)
    weights = np.ones((settings.rows, settings.row_tokens), np.float32)
    prose_rows = int(settings.rows * settings.prose_share)
    for row in range(prose_rows):
        # A third of the prose comes from the second text (Wikipedia sentences for the shipped model).
        stream = corpus.prose[1 if row % 3 == 0 and len(corpus.prose) > 1 else 0]
        start = rng.randrange(len(stream) - settings.row_tokens)
        tokens[row] = stream[start : start + settings.row_tokens]
    facts = FactRows(
        corpus.world,
        corpus.tokenizer,
        corpus.strangers,
        corpus.prose[0],
        settings.row_tokens,
        rng,
        settings.correction_share,
    ).rows(drills=settings.drill_share if step < settings.steps // 4 else 0.0)
    for row in range(prose_rows, settings.rows):
        tokens[row], weights[row] = next(facts)
    return torch.from_numpy(tokens), torch.from_numpy(weights), prose_rows


def run(trainer: Trainer, corpus: Corpus, *, work: Path, out: Path, every: int = 500) -> None:
    """Train until `settings.steps`, and save every `every` steps.

    Args:
        trainer: new or resumed.
        corpus: to draw from.
        work: where the state for resuming is saved.
        out: where the model is exported.
        every: steps between two saves.
    """
    torch.set_flush_denormal(True)  # denormals slow CPU training several times; holds for the process
    prose = facts = math.nan
    started, first = time.monotonic(), trainer.step
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("training", total=trainer.settings.steps, completed=trainer.step)
        while trainer.step < trainer.settings.steps:
            new = trainer.learn(*draw_batch(corpus, trainer.settings, trainer.step))
            prose, facts = (
                (old * 0.98 + value * 0.02) if not math.isnan(old) else value
                for old, value in zip((prose, facts), new, strict=True)
            )
            progress.update(task, advance=1, description=f"prose {prose:.2f} facts {facts:.3f} nats")
            if trainer.step % every == 0:
                trainer.save(work)
                trainer.export(out, corpus.tokenizer)
                pace = (time.monotonic() - started) / (trainer.step - first)
                if progress.disable:
                    print(
                        f"step {trainer.step} prose {prose:.3f} facts {facts:.3f} {pace:.3f} s/step",
                        flush=True,
                    )
    trainer.export(out, corpus.tokenizer)


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--facts", type=Path, required=True, help="JSON Lines: subject, relation, object")
    parser.add_argument("--text", type=Path, action="append", required=True, help="UTF-8 prose, repeatable")
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="folder of the exported model")
    parser.add_argument(
        "--work", type=Path, default=Path("zoo-run"), help="folder with the state for resuming"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(TrainerSettings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    settings = TrainerSettings(**{name: getattr(arguments, name) for name in asdict(TrainerSettings())})
    tokenizer = None
    if (arguments.work / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(arguments.work / "tokenizer.json"))
    corpus = read_corpus(arguments.facts, arguments.text, settings, tokenizer)
    arguments.work.mkdir(parents=True, exist_ok=True)
    corpus.tokenizer.save(str(arguments.work / "tokenizer.json"))
    trainer = Trainer(settings, arguments.device)
    if (arguments.work / "progress.json").exists():
        trainer.resume(arguments.work)
    run(trainer, corpus, work=arguments.work, out=arguments.out)
    if arguments.out == MODEL_FOLDER:
        corpus.world.save()


if __name__ == "__main__":
    main()
