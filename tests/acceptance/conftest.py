"""Tiny models with random weights in folders, as an operator has them, and the command line on them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from guardedit.cli.main import app

POLICIES = Path(__file__).parents[2] / "policies"
END = "<|endoftext|>"
SENTENCES = (
    "The Eiffel Tower is located in the city of Paris.",
    "Anne Redpath was born in Galashiels, and Anne lived in Edinburgh.",
    "The capital of Norway is Oslo. The capital of Peru is Lima.",
    "The mother tongue of Marie Curie is Polish, 1867 to 1934.",
    "A river of twelve bridges runs slowly past the old mill and the new one.",
    "In the spring the fields are full of flowers and the people are glad.",
    "The company was founded in the last century and is the oldest of the town.",
    "After the war he returned home and worked as a lawyer for many years.",
)


def _tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=320, special_tokens=[END], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=END, eos_token=END, pad_token=END)


def _write(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    (folder / "edit_card.json").write_text(json.dumps({"layer": 0}))
    (folder / "probes.json").write_text(json.dumps({"texts": SENTENCES, "questions": []}))
    return folder


def gpt2(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(_tokenizer()), n_positions=128, n_embd=16, n_layer=2, n_head=2, n_inner=24
    )
    return _write(folder, GPT2LMHeadModel(config))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return gpt2(tmp_path_factory.mktemp("models") / "one", seed=0)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory) -> Path:
    """The same architecture with other weights."""
    return gpt2(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="session")
def foreign_model(tmp_path_factory) -> Path:
    """An architecture without a layout card, which names no longest input either."""
    config = BloomConfig(vocab_size=len(_tokenizer()), hidden_size=16, n_layer=2, n_head=2)
    return _write(tmp_path_factory.mktemp("models") / "bloom", BloomForCausalLM(config))


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home() -> Iterator[Path]:
    """In memory where that can be had: every commit waits for the disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bad-input-", dir=memory) as path:
        yield Path(path) / "state"


@pytest.fixture
def guardedit(home, model, monkeypatch) -> Callable[..., Said]:
    """Runs `guardedit ARGUMENTS`; anything but an exit is a traceback, and fails the test."""
    monkeypatch.setenv("GUARDEDIT_HOME", str(home))
    monkeypatch.setenv("GUARDEDIT_MODEL", str(model))
    monkeypatch.setenv("GUARDEDIT_POLICY", str(POLICIES / "memory-only.yaml"))
    monkeypatch.setenv("GUARDEDIT_METRICS", "off")
    monkeypatch.setenv("GUARDEDIT_DEVICE", "cpu")

    def run(*arguments: object, stdin: bytes | str | None = None) -> Said:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="guardedit")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run
