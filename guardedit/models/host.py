"""One loaded model with its tokenizer, layout and lock: scoring, generating, and trying other matrices.

Knows Hugging Face folders. Does not know edits: it is handed finished matrices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from guardedit.core.errors import GuardError, MalformedCorrection, UnknownLayout, UsageError
from guardedit.models.below import Below, lowest_changed
from guardedit.models.bypass import Patch, hooked
from guardedit.models.generation import by_length, greedy
from guardedit.models.layouts import layer_count, read_structure
from guardedit.models.matrices import is_transposed, tensor_sha256, write
from guardedit.models.tokens import encode, pad
from guardedit.models.views import head_logits


class ModelHost:
    """A base model that is never changed for longer than a `with patched(...)` block.

    All parameters have `requires_grad` off. `lock` is held by every method that runs the model and for
    the whole of a `patched` block, so that no answer mixes two sets of weights.

    Args:
        model: a Hugging Face causal language model; put into eval mode.
        tokenizer: its fast tokenizer.
        batch_rows: most rows in one forward pass.

    Attributes:
        layout: where the model's parts are.
        layout_account: how they were found, for people; empty when the layout is a card.
        layers: number of decoder layers.
        context: longest input in tokens.
        base_sha256: digest of names, dtypes, shapes and bytes of all parameters and of the architecture.
        lock: reentrant.

    Raises:
        UnknownLayout: when no layout card fits the model and its structure does not settle it.
        UsageError: when the tokenizer gives no offsets.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_rows: int = 64) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(
                f"{type(tokenizer).__name__} gives no character offsets: use the model's fast tokenizer"
            )
        self.model: Any = model
        self.model.eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.batch_rows = batch_rows
        structure = read_structure(model)
        self.layout = structure.layout
        self.layout_account = structure.account
        self.layers = layer_count(model, self.layout)
        self.context = _context(self.model.config)
        self.lock = RLock()
        self._base: dict[str, Tensor] = {}  # what the outermost `patched` block took out
        self._changed: list[int] = []  # for each block around, its lowest layer
        self._below = Below(model, self.layout)
        self.base_sha256 = self._digest()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_rows: int = 64,
    ) -> ModelHost:
        """Load a local folder: safetensors only, no code from the folder, no network.

        Raises:
            UsageError: when the folder cannot be loaded, naming it.
            UnknownLayout: as the constructor.
        """
        folder = Path(path)
        if not (folder / "config.json").is_file():
            raise UsageError(f"{folder} is not a model folder: it has no config.json")
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            with _no_progress_bar():
                tokenizer = AutoTokenizer.from_pretrained(folder, **local)
                model: Any = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=dtype, use_safetensors=True, **local
                )
            return cls(model.to(device), tokenizer, batch_rows=batch_rows)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise UsageError(
                f"cannot load the model in {folder}: {str(error) or type(error).__name__:.500}; "
                "it must hold config.json, model.safetensors and a fast tokenizer"
            ) from error

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        found: torch.device = next(self.model.parameters()).device
        return found

    def decoder_layer(self, layer: int) -> nn.Module:
        """A decoder layer; UsageError when there is no such layer."""
        return self._module(self.layout.layer_name(self._known(layer)))

    def mlp_out(self, layer: int) -> nn.Module:
        """The down projection of a decoder layer; UsageError when there is no such layer."""
        return self._module(self.layout.mlp_out_name(self._known(layer)))

    def after_mlp(self, layer: int) -> nn.Module | None:
        """The norm that the MLP's output passes before it is added to the residual stream, if any."""
        name = self.layout.after_mlp_name(self._known(layer))
        return self._module(name) if name else None

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits [m, vocabulary] of final hidden states [m, d], as the whole model makes them of them."""
        return head_logits(self.model, self.layout.decoder[0], hidden)

    def base_matrix(self, layer: int) -> Tensor:
        """The base model's W of `layer`, math orientation [d, f], also inside a `patched` block."""
        name = self.layout.matrix_name(self._known(layer))
        with self.lock:
            stored: Tensor = self._base.get(name, self.model.get_parameter(name).data)
        return stored.t() if is_transposed(self.model, name) else stored

    def tensor_sha256(self) -> dict[str, str]:
        """Digest of each parameter as it is now; tied parameters appear once."""
        with self.lock:
            return {name: tensor_sha256(part) for name, part in sorted(self.model.named_parameters())}

    @property
    def is_patched(self) -> bool:
        """Whether whoever holds the lock runs an edited model."""
        return bool(self._changed)

    @contextmanager
    def patched(self, patch: Patch) -> Iterator[None]:
        """Run as an edited model (what `Fold.fold` gives).

        Pointers are swapped, never bytes; the former tensors come back whatever happens, and every hook is
        gone. Nests.

        Raises:
            EditError: when a name, shape or dtype is not the model's; nothing is changed then.
        """
        with self.lock, ExitStack() as stack:
            before: dict[str, Tensor] = {}
            outermost: set[str] = set()
            self._changed.append(lowest_changed(patch, self.layout, self.layers))
            try:
                for name, stored in patch.matrices.items():
                    before[name] = write(self.model, name, stored)
                    if name not in self._base:
                        self._base[name] = before[name]
                        outermost.add(name)
                for bypass in patch.bypasses:
                    layer, module = self.decoder_layer(bypass.layer), self.mlp_out(bypass.layer)
                    stack.enter_context(hooked(layer, module, bypass))
                yield
            finally:
                self._changed.pop()
                for name, stored in before.items():
                    write(self.model, name, stored)
                for name in outermost:
                    del self._base[name]

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """Per text log p of tokens 2..N in nats, from a float32 log_softmax; empty for one token.

        Raises:
            MalformedCorrection: when a text is longer than the context.
            GuardError: when memory does not suffice.
        """
        rows = [encode(self.tokenizer, text, context=self.context) for text in texts]
        scores: list[list[float]] = [[] for _ in rows]
        order = sorted((i for i, row in enumerate(rows) if len(row) > 1), key=lambda i: (len(rows[i]), i))
        with self.lock, memory_errors(self.batch_rows):
            for start in range(0, len(order), self.batch_rows):
                group = order[start : start + self.batch_rows]
                found = self._score(pad([rows[i] for i in group], device=self.device))
                for i, line in zip(group, found.tolist(), strict=True):
                    scores[i] = line[: len(rows[i]) - 1]
        return scores

    def complete(self, prompts: Sequence[str], *, max_new_tokens: int = 12) -> list[str]:
        """Greedy answer to each prompt, up to the end of the answer (`generation.answer_end`), without it.

        Prompts of equal length share a batch, so no padding can change an answer: asking many is asking
        one at a time. Each different prompt is answered once. A space at a prompt's end is left out, since
        tokenizers make it part of the answer's first word.

        Raises:
            MalformedCorrection: when a prompt is empty, or does not fit into the context with its answer.
            GuardError: when memory does not suffice.
        """
        different = list(dict.fromkeys(prompts))
        rows = [
            encode(self.tokenizer, prompt.rstrip(" "), context=self.context, answer=max_new_tokens)
            for prompt in different
        ]
        if [] in rows:
            raise MalformedCorrection("an empty prompt has no answer: ask something")
        answers: dict[str, str] = {}
        with self.lock, memory_errors(self.batch_rows):
            for group in by_length(rows, at_most=self.batch_rows):
                ids = pad([rows[i] for i in group], device=self.device)
                found = greedy(self.model, self.tokenizer, ids, max_new_tokens=max_new_tokens)
                answers.update(zip((different[i] for i in group), found, strict=True))
        return [answers[prompt] for prompt in prompts]

    @torch.inference_mode()
    def _score(self, ids: Tensor) -> Tensor:
        """Token ids [B, T] -> log p of tokens 2..T [B, T-1], float32."""
        hidden = self._below.final(ids, min(self._changed, default=self.layers))[:, :-1]  # [B, T-1, d]
        logits = self.head_logits(hidden.flatten(0, 1)).float().view(*hidden.shape[:2], -1)
        chosen = logits.gather(-1, ids[:, 1:, None])[..., 0]
        scores: Tensor = chosen - logits.logsumexp(dim=-1)
        return scores

    def _digest(self) -> str:
        architecture = type(self.model).__name__
        body = json.dumps([architecture, self.model.config.model_type, self.tensor_sha256()])
        return hashlib.sha256(body.encode()).hexdigest()

    def _module(self, name: str) -> nn.Module:
        found: nn.Module = self.model.get_submodule(name)
        return found

    def _known(self, layer: int) -> int:
        if not 0 <= layer < self.layers:
            raise UsageError(f"layer {layer} does not exist: this model has layers 0 to {self.layers - 1}")
        return layer


def _context(config: Any) -> int:
    """Longest input in tokens. Some architectures know no limit, and others call it differently."""
    for name in ("max_position_embeddings", "max_seq_len"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    raise UnknownLayout(
        f"{type(config).__name__} names no longest input: set max_position_embeddings in config.json"
    )


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Loading is silent; the process's own setting comes back."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no types
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above


@contextmanager
def memory_errors(batch_rows: int) -> Iterator[None]:
    """GuardError with the remedy in place of whatever an allocator raises."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # The CPU allocator has no exception class of its own.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and "can't allocate memory" not in str(error):
            raise
        raise GuardError(f"out of memory with {batch_rows} rows a batch: lower batch_rows") from error


def load_tokenizer(path: str | Path) -> tuple[Any, int]:
    """The fast tokenizer of a model folder and the model's context in tokens, without its weights.

    Raises:
        UsageError: when the folder cannot be loaded, naming it.
        UnknownLayout: when the configuration names no longest input.
    """
    folder = Path(path)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        config = AutoConfig.from_pretrained(folder, **local)
        return tokenizer, _context(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot load the tokenizer in {folder}: {error!s:.500}") from error
