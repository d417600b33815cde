"""Train the demo model: `python -m guardedit.zoo.train --facts FILE --text FILE [--text FILE]`.

A GPT-2 class model learns a small world by heart, learns to obey a correction in its context, and learns
enough prose that a collapse can be seen. Every step draws its rows from `(seed, step)`, so a resumed run
sees the same data as one that never stopped. Repeating a run on another machine gives a model of the same
quality, not the same bytes: bf16 sums depend on the number of threads.

What made it work is kept in `model/README.md`, with what did not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedTokenizerFast

from guardedit.zoo.corpus import END, FactRows, training_part
from guardedit.zoo.world import World, load_relations, read_facts, select_world

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import Tensor

MODEL_FOLDER = Path(__file__).parent / "model"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what the model becomes."""

    world_facts: int = 1_700
    layers: int = 6
    width: int = 256
    inner: int = 1_024  # f, the key width: one edited layer can hold roughly a third of f edits
    heads: int = 8
    vocabulary: int = 4_096
    positions: int = 256
    row_tokens: int = 80
    rows: int = 26
    prose_share: float = 1 / 3
    correction_share: float = 0.5  # of the documents in fact rows
    steps: int = 4_000
    muon_rate: float = 0.015
    adam_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup_steps: int = 100
    drill_share: float = 0.25  # of fact rows, during the first quarter of the run
    seed: int = 0


@dataclass(frozen=True)
class Corpus:
    """Token streams and names that rows are drawn from."""

    world: World
    tokenizer: Tokenizer
    prose: list[NDArray[np.uint16]]  # one stream per text file
    strangers: list[str]  # subjects outside the world


def train_tokenizer(world: World, texts: list[str], size: int) -> Tokenizer:
    """Byte-level BPE over the prose and every statement of the world."""
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


def read_corpus(facts: Path, texts: list[Path], recipe: Recipe, tokenizer: Tokenizer | None) -> Corpus:
    """Choose the world, train the tokenizer unless one is given, tokenise the prose."""
    _, wordings = load_relations()
    everything = read_facts(facts, wordings)
    world = select_world(everything, count=recipe.world_facts)
    contents = [training_part(path.read_text(encoding="utf-8")) for path in texts]
    tokenizer = tokenizer or train_tokenizer(world, contents, recipe.vocabulary)
    known = {fact.subject for fact in world.facts}
    strangers = sorted({fact.subject for fact in everything} - known)
    random.Random(1).shuffle(strangers)
    streams = [_tokenise(tokenizer, text) for text in contents]
    return Corpus(world, tokenizer, streams, strangers[:3_000])


def _tokenise(tokenizer: Tokenizer, text: str) -> NDArray[np.uint16]:
    pieces = [text[start : start + 200_000] for start in range(0, len(text), 200_000)]
    ids = [np.array(tokenizer.encode(piece).ids, dtype=np.uint16) for piece in pieces]
    return np.concatenate(ids)


def draw_batch(corpus: Corpus, recipe: Recipe, step: int) -> tuple[Tensor, Tensor, int]:
    """Rows for one step: tokens (rows, T) int64, loss weights (rows, T) float32, number of prose rows."""
    rng = random.Random(f"{recipe.seed}:{step}")
    tokens = np.zeros((recipe.rows, recipe.row_tokens), np.int64)
    weights = np.ones((recipe.rows, recipe.row_tokens), np.float32)
    prose_rows = int(recipe.rows * recipe.prose_share)
    for row in range(prose_rows):
        # The second text (Wikipedia sentences in the shipped recipe) is read a third of the time.
        stream = corpus.prose[1 if row % 3 == 0 and len(corpus.prose) > 1 else 0]
        start = rng.randrange(len(stream) - recipe.row_tokens)
        tokens[row] = stream[start : start + recipe.row_tokens]
    facts = FactRows(
        corpus.world,
        corpus.tokenizer,
        corpus.strangers,
        corpus.prose[0],
        recipe.row_tokens,
        rng,
        recipe.correction_share,
    ).rows(drills=recipe.drill_share if step < recipe.steps // 4 else 0.0)
    for row in range(prose_rows, recipe.rows):
        tokens[row], weights[row] = next(facts)
    return torch.from_numpy(tokens), torch.from_numpy(weights), prose_rows


class Trainer:
    """The model, its two optimisers, and where the run stands."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self.model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]  # foreign
            GPT2Config(
                vocab_size=recipe.vocabulary,
                n_positions=recipe.positions,
                n_embd=recipe.width,
                n_layer=recipe.layers,
                n_head=recipe.heads,
                n_inner=recipe.inner,
                activation_function="gelu_pytorch_tanh",
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            ),
            attn_implementation="sdpa",
        ).to(device)
        hidden = [
            p for n, p in self.model.named_parameters() if p.ndim == 2 and "wte" not in n and "wpe" not in n
        ]
        chosen = {id(p) for p in hidden}
        self.others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(hidden, lr=recipe.muon_rate, weight_decay=recipe.weight_decay),
            torch.optim.AdamW(self.others, lr=recipe.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]

    def learn(self, tokens: Tensor, weights: Tensor, prose_rows: int) -> tuple[float, float]:
        """One step; returns the losses on prose and on facts, in nats."""
        recipe = self.recipe
        done = self.step / recipe.steps
        scale = min(1.0, (self.step + 1) / recipe.warmup_steps) * min(1.0, 2 * (1 - done))
        for optimiser, rate in zip(self.optimisers, (recipe.muon_rate, recipe.adam_rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
        tokens, weights = tokens.to(self.device), weights.to(self.device)[:, 1:]
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.model(tokens, use_cache=False).logits[:, :-1]  # (rows, T-1, vocabulary)
        nats = functional.cross_entropy(
            logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        ).view_as(weights)
        prose = nats[:prose_rows].mean()
        facts = (nats[prose_rows:] * weights[prose_rows:]).sum() / weights[prose_rows:].sum()
        (prose + facts).backward()  # type: ignore[no-untyped-call]  # torch's own gap
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return prose.item(), facts.item()

    def save(self, folder: Path) -> None:
        """Model, optimiser state and step, as safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Tensor] = {}
        for n, optimiser in enumerate(self.optimisers):
            for index, values in optimiser.state_dict()["state"].items():
                for key, value in values.items():
                    state[f"{n}.{index}.{key}"] = torch.as_tensor(value).contiguous()
        state |= {
            f"model.{k}": v.contiguous() for k, v in self.model.state_dict().items() if k != "lm_head.weight"
        }
        save_file(state, folder / "state.part")
        (folder / "state.part").replace(folder / "state.safetensors")
        (folder / "progress.json").write_text(json.dumps({"step": self.step, "recipe": asdict(self.recipe)}))

    def resume(self, folder: Path) -> None:
        """Continue a run that `save` wrote; another recipe is refused."""
        progress = json.loads((folder / "progress.json").read_text())
        if progress["recipe"] != asdict(self.recipe):
            sys.exit(f"{folder} holds a run of another recipe: use another --work folder or remove it")
        state = load_file(folder / "state.safetensors")
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}, strict=False
        )
        for n, optimiser in enumerate(self.optimisers):
            merged: dict[int, dict[str, Any]] = {}
            for name, value in state.items():
                which, _, rest = name.partition(".")
                if which == str(n):
                    index, key = rest.split(".")
                    merged.setdefault(int(index), {})[key] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": merged})
        self.step = progress["step"]

    def export(self, folder: Path, tokenizer: Tokenizer) -> None:
        """Write what `AutoModelForCausalLM.from_pretrained` reads."""
        self.model.save_pretrained(folder)
        PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # foreign
            tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END
        ).save_pretrained(folder)


def run(trainer: Trainer, corpus: Corpus, *, work: Path, out: Path, every: int = 500) -> None:
    """Train to the end of the recipe, saving every `every` steps."""
    torch.set_flush_denormal(True)  # denormal floats slow CPU training several times; a switch of the process
    prose = facts = math.nan
    started, first = time.monotonic(), trainer.step
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("training", total=trainer.recipe.steps, completed=trainer.step)
        while trainer.step < trainer.recipe.steps:
            new = trainer.learn(*draw_batch(corpus, trainer.recipe, trainer.step))
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
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the model goes")
    parser.add_argument("--work", type=Path, default=Path("zoo-run"), help="where a run is kept for resuming")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    recipe = Recipe(**{name: getattr(arguments, name) for name in asdict(Recipe())})
    tokenizer = None
    if (arguments.work / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(arguments.work / "tokenizer.json"))
    corpus = read_corpus(arguments.facts, arguments.text, recipe, tokenizer)
    arguments.work.mkdir(parents=True, exist_ok=True)
    corpus.tokenizer.save(str(arguments.work / "tokenizer.json"))
    trainer = Trainer(recipe, arguments.device)
    if (arguments.work / "progress.json").exists():
        trainer.resume(arguments.work)
    run(trainer, corpus, work=arguments.work, out=arguments.out)
    if arguments.out == MODEL_FOLDER:
        corpus.world.save()


if __name__ == "__main__":
    main()
