"""One loaded model with its tokenizer, layout and lock: scoring, generating, and trying other matrices.

Does not know edits: it is handed finished matrices.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.core.errors import MalformedCorrection, UsageError, WrongBaseModel
from guardedit.models.below import Below, lowest_changed
from guardedit.models.bypass import Patch, hooked
from guardedit.models.integrity import Kept, bring_back, tensor_of
from guardedit.models.layouts.cards import layer_count, read_structure
from guardedit.models.loading import context_of, load_model
from guardedit.models.matrices import is_transposed, tensor_sha256, write
from guardedit.models.text.generation import by_length, greedy
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.text.room import memory_errors
from guardedit.models.text.saying import says
from guardedit.models.text.tokens import encode, pad
from guardedit.models.views import head_logits


class ModelHost:
    """A base model that is never changed for longer than a `with patched(...)` block.

    All parameters have `requires_grad` off. `lock` is held by every method that runs the model and for
    the whole of a `patched` block, so that no answer mixes two sets of weights.

    Args:
        model: a Hugging Face causal language model; put into eval mode.
        tokenizer: its fast tokenizer.
        batch_rows: most rows in one forward pass.
        kept: what the tensors were when they were loaded; default: what they are now, with no way to load
            them again.

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

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_rows: int = 64,
        kept: Kept | None = None,
    ) -> None:
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
        self.context = context_of(self.model.config)
        self.lock = RLock()
        self._pointers = Lock()  # held while parameters change place with `_base`; for `base_matrix`
        self._base: dict[str, Tensor] = {}  # what the outermost `patched` block took out
        self._changed: list[int] = []  # for each block around, its lowest layer
        self._below = Below(model, self.layout)
        self._kept = kept or Kept.of(model)
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
        model, tokenizer = load_model(folder, device=device, dtype=dtype)

        def again() -> nn.Module:
            found: nn.Module = load_model(folder, device=device, dtype=dtype)[0]
            return found

        return cls(model, tokenizer, batch_rows=batch_rows, kept=Kept.of(model, reload=again))

    def twin(self) -> ModelHost:
        """The same tensors as a second model with pointers, patches and a lock of its own.

        It takes no memory for weights, and answers while this one is held. UsageError inside of `patched`.
        """
        with self.lock:
            if self.is_patched:
                raise UsageError("a patched model has no twin: ask for one outside of `patched`")
            shared: dict[int, Any] = {
                id(p): nn.Parameter(p.data, requires_grad=False) for p in self.model.parameters()
            }
            shared |= {id(buffer): buffer for buffer in self.model.buffers()}
            model = copy.deepcopy(self.model, shared)
        return ModelHost(model, copy.deepcopy(self.tokenizer), batch_rows=self.batch_rows, kept=self._kept)

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
        """The base model's W of `layer`, math orientation [d, f], also inside a `patched` block.

        Never waits for whoever holds the lock.
        """
        name = self.layout.matrix_name(self._known(layer))
        stored = self._loaded(name)
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
                    with self._pointers:
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
                    with self._pointers:
                        write(self.model, name, stored)
                        if name in outermost:
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

    def complete_drafted(self, asked: Sequence[tuple[str, str]], *, max_new_tokens: int = 12) -> list[str]:
        """`complete` of each (prompt, draft); an answer that its draft tells right costs one forward pass.

        A draft may be empty. Where two tokens' logits agree to the last digits, the draft may decide.

        Raises:
            MalformedCorrection, GuardError: as `complete`.
        """
        guesses: dict[str, list[str]] = {}
        for prompt, draft in asked:
            guesses.setdefault(prompt, []).extend([draft] if draft else [])
        answers = complete_guessed(self, guesses, max_new_tokens=max_new_tokens)
        return [answers[prompt] for prompt, _ in asked]

    def says(self, asked: Sequence[tuple[str, str]], *, max_new_tokens: int = 12) -> list[bool]:
        """For each (prompt, answer) whether `complete` would give just this answer, by one forward pass.

        Raises:
            MalformedCorrection, GuardError: as `complete`.
        """
        with self.lock:
            return says(self, asked, max_new_tokens=max_new_tokens)

    def repair(self) -> list[str]:
        """Compare every tensor with what was loaded and bring back what is not so; what was wrong.

        Questions wait for one tensor at a time.

        Raises:
            WrongBaseModel: when a tensor cannot be brought back; the others are.
        """
        changed = self._kept.changed(self._loaded)
        if not changed:
            return []
        good = self._kept.again(changed)
        for name in good:
            with self.lock:
                bring_back(self.model, name, good[name])
                self._below = Below(self.model, self.layout)  # what it keeps was made of the changed bytes
        if lost := [name for name in changed if name not in good]:
            raise WrongBaseModel(
                f"{', '.join(lost)} changed in memory and cannot be loaded again as it was: "
                "put the model folder back and start this process anew"
            )
        return [f"{name} was changed in memory; it was loaded again" for name in changed]

    def _loaded(self, name: str) -> Tensor:
        """A tensor of the base model, also inside a `patched` block."""
        with self._pointers:
            return self._base[name] if name in self._base else tensor_of(self.model, name)

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
        parts = {name: self._kept.sha256[name] for name, _ in self.model.named_parameters()}
        body = json.dumps([architecture, self.model.config.model_type, dict(sorted(parts.items()))])
        return hashlib.sha256(body.encode()).hexdigest()

    def _module(self, name: str) -> nn.Module:
        found: nn.Module = self.model.get_submodule(name)
        return found

    def _known(self, layer: int) -> int:
        if not 0 <= layer < self.layers:
            raise UsageError(f"layer {layer} does not exist: this model has layers 0 to {self.layers - 1}")
        return layer
