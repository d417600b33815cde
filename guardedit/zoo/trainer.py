"""Defines the settings of a training run, and the trainer of the demo model: step, save, resume, export."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedTokenizerFast

from guardedit.zoo.corpus import END

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """Architecture, data mix and optimisation of one training run."""

    world_facts: int = 1_700
    layers: int = 6
    width: int = 256
    inner: int = 1_024  # f, the key width: an edited layer holds roughly f/8 edits
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


class Trainer:
    """The model, its two optimisers and the number of steps done."""

    def __init__(self, settings: TrainerSettings, device: str) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device, self.step = settings, device, 0
        self.model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]  # foreign
            GPT2Config(
                vocab_size=settings.vocabulary,
                n_positions=settings.positions,
                n_embd=settings.width,
                n_layer=settings.layers,
                n_head=settings.heads,
                n_inner=settings.inner,
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
            torch.optim.Muon(hidden, lr=settings.muon_rate, weight_decay=settings.weight_decay),
            torch.optim.AdamW(self.others, lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]

    def learn(self, tokens: Tensor, weights: Tensor, prose_rows: int) -> tuple[float, float]:
        """Take one optimisation step and return the losses on prose and on facts, in nats per token.

        Args:
            tokens: [rows, T] int64, the prose rows first.
            weights: [rows, T] float32, of the losses of the fact rows.
            prose_rows: number of prose rows.
        """
        settings = self.settings
        done = self.step / settings.steps
        scale = min(1.0, (self.step + 1) / settings.warmup_steps) * min(1.0, 2 * (1 - done))
        for optimiser, rate in zip(self.optimisers, (settings.muon_rate, settings.adam_rate), strict=True):
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
        """Save model, optimiser state and step, as safetensors and JSON."""
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
        (folder / "progress.json").write_text(
            json.dumps({"step": self.step, "recipe": asdict(self.settings)})
        )

    def resume(self, folder: Path) -> None:
        """Continue a run that `save` wrote; exit if it was started with other settings."""
        progress = json.loads((folder / "progress.json").read_text())
        if progress["recipe"] != asdict(self.settings):
            sys.exit(f"{folder} holds a run with other settings: use another --work folder or remove it")
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
        """Write the model and tokenizer for `AutoModelForCausalLM.from_pretrained`."""
        self.model.save_pretrained(folder)
        PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # foreign
            tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END
        ).save_pretrained(folder)
