"""One loaded model with its tokenizer, layout and lock: scoring, generating, and running edited weights.

Does not know edits: `patched` takes finished matrices and bypasses.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.core.errors import UsageError
from guardedit.models.bypass import Patch, attached
from guardedit.models.hidden.lower_cache import LowerLayerCache
from guardedit.models.integrity import LoadedTensors, model_sha256
from guardedit.models.layouts.cards import layer_count, read_structure
from guardedit.models.loading import context_of, load_model
from guardedit.models.lower_layers import OpenPatches
from guardedit.models.matrices import is_transposed, let_edited_run, tensor_sha256
from guardedit.models.parameter_swap import ParameterSwap
from guardedit.models.text.asking import Asking, asking_nats
from guardedit.models.text.exact_answer import says
from guardedit.models.text.form import Form, form_of
from guardedit.models.text.generation import Ending, complete
from guardedit.models.text.guessing import complete_drafted
from guardedit.models.text.scoring import token_logprobs
from guardedit.models.text.stops import stop_tokens
from guardedit.models.twin import twin_of
from guardedit.models.views import head_logits


class ModelHost:
    """A base model. Its weights are changed only for the length of a `with patched(...)` block.

    All parameters have `requires_grad` off. `lock` is held for the whole of a `patched` block and by every
    method that runs the model, except `final_hidden` and `head_logits`, whose callers hold it. So no answer
    mixes two sets of weights.

    Args:
        model: a Hugging Face causal language model; put into eval mode.
        tokenizer: its fast tokenizer.
        batch_rows: most rows in one forward pass.
        loaded: digests of the tensors when they were loaded, and a way to load them again; default: the
            tensors as they are now, and no way to load them again.
        form: how questions are put to it; default: its chat template where the tokenizer has one.

    Attributes:
        layout: where the model's parts are.
        layout_account: how the layout was found, one sentence for each finding; empty when it is a layout
            card.
        layers: number of decoder layers.
        form: how questions are put to it.
        stops: tokens that end its answers.
        context: longest input in tokens.
        base_sha256: digest of names, dtypes, shapes and bytes of all parameters and of the architecture.
        lock: reentrant.
        hidden: the kept output of layers that no patch changes.
        caches: forget when a tensor turns out to have changed in memory, of all twins.

    Raises:
        UnknownLayout: when no layout card fits the model and its structure is ambiguous.
        UsageError: when the tokenizer has no character offsets.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_rows: int = 64,
        loaded: LoadedTensors | None = None,
        form: Form | None = None,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(
                f"{type(tokenizer).__name__} gives no character offsets: use the model's fast tokenizer"
            )
        self.model: Any = model
        self.model.eval().requires_grad_(requires_grad=False)
        self.tokenizer = tokenizer
        self.form: Form = form or form_of(tokenizer)
        self.stops = stop_tokens(model, tokenizer)
        self.batch_rows = batch_rows
        structure = read_structure(model)
        self.layout = structure.layout
        self.layout_account = structure.account
        self.layers = layer_count(model, self.layout)
        for layer in range(self.layers):
            let_edited_run(self.mlp_out(layer))
        self.context = context_of(self.model.config)
        self.lock = RLock()
        self._swap = ParameterSwap(model)
        self._open = OpenPatches(self.layout, self.layers)
        self._loaded = loaded or LoadedTensors.of(model)
        self.base_sha256 = model_sha256(model, self._loaded.sha256)
        self.hidden = LowerLayerCache(model, self.layout, layers=self.layers, name=self.base_sha256)
        self.caches = self._loaded.caches
        self.caches.add(self.hidden)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        batch_rows: int = 64,
        form: str | None = None,
    ) -> ModelHost:
        """Load a local folder: safetensors only, no code from the folder, no network.

        `dtype` None is that of the files; matrices are edited in float32 even if it has 16 bits.
        `form` is `raw` or `chat`; without it the tokenizer decides.

        Raises:
            UsageError: when the folder cannot be loaded, naming it.
            UnknownLayout: as the constructor.
        """
        folder = Path(path)
        load = partial(load_model, folder, device=device, dtype=dtype)
        model, tokenizer = load()
        loaded = LoadedTensors.of(model, reload=lambda: load()[0])
        return cls(model, tokenizer, batch_rows=batch_rows, loaded=loaded, form=form_of(tokenizer, form))

    def twin(self) -> ModelHost:
        """A second host that shares the tensors but has its own parameters, patches and lock.

        It takes no memory for weights, and can answer while this host is locked.

        Raises:
            UsageError: inside of `patched`.
        """
        with self.lock:
            if self.is_patched:
                raise UsageError("a patched model has no twin: ask for one outside of `patched`")
            model = twin_of(self.model)
        tokenizer = copy.deepcopy(self.tokenizer)
        return ModelHost(model, tokenizer, batch_rows=self.batch_rows, loaded=self._loaded, form=self.form)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        found: torch.device = next(self.model.parameters()).device
        return found

    def decoder_layer(self, layer: int) -> nn.Module:
        """A decoder layer; UsageError when there is no such layer."""
        return self._module(self.layout.layer_name(self._checked(layer)))

    def mlp_out(self, layer: int) -> nn.Module:
        """The down projection of a decoder layer; UsageError when there is no such layer."""
        return self._module(self.layout.mlp_out_name(self._checked(layer)))

    def after_mlp(self, layer: int) -> nn.Module | None:
        """The norm between the MLP's output and the residual stream, if there is one."""
        name = self.layout.after_mlp_name(self._checked(layer))
        return self._module(name) if name else None

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Logits [m, vocabulary] of final hidden states [m, d], with the model's own capping or scaling."""
        return head_logits(self.model, self.layout.decoder[0], hidden)

    def base_matrix(self, layer: int) -> Tensor:
        """The base model's W of `layer`, in math orientation [d, f], even inside a `patched` block.

        Does not wait for `lock`.
        """
        name = self.layout.matrix_name(self._checked(layer))
        stored = self._swap.base_tensor(name)
        return stored.t() if is_transposed(self.model, name) else stored

    def tensor_sha256(self) -> dict[str, str]:
        """Digest of each parameter as it is now; tied parameters appear once."""
        with self.lock:
            return {name: tensor_sha256(part) for name, part in sorted(self.model.named_parameters())}

    @property
    def is_patched(self) -> bool:
        """Whether a `patched` block is open, in any thread."""
        return self._open.any

    @property
    def is_bypassed(self) -> bool:
        """Whether an open `patched` block has a bypass, in any thread."""
        return self._open.bypassed

    @contextmanager
    def patched(self, patch: Patch) -> Iterator[None]:
        """Run the model with edited weights for the length of a `with` block; `Fold.fold` makes the patch.

        Parameters are exchanged without copying. However the block ends, the previous parameters are restored
        and every hook is removed. Blocks can be nested.

        Raises:
            EditError: when a name, shape or dtype is not the model's; nothing is changed then.
        """
        with self.lock, ExitStack() as stack:
            stack.enter_context(self._open.opened(patch))
            stack.enter_context(self._swap.swapped(patch.matrices))
            for bypass in patch.bypasses:
                layer, module = self.decoder_layer(bypass.layer), self.mlp_out(bypass.layer)
                stack.enter_context(attached(layer, module, bypass))
            yield

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text, log p of tokens 2..N in nats, from a float32 log_softmax; empty for one token.

        Raises:
            MalformedCorrection: when a text is longer than the context.
            GuardError: when memory does not suffice.
        """
        return token_logprobs(self, texts)

    def final_hidden(self, ids: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Token ids [B, T], padded on the right -> final hidden states [B, T, d] of the model as it stands.

        Layers below the lowest patched one run once for each row; later calls take their output from a
        cache. Call this with `lock` held and without gradients.

        Args:
            ids: token ids.
            lengths: number of tokens of each row that are not padding, so that a row is known again beside
                others; default: T.
        """
        return self.hidden.final_hidden(
            ids,
            self._open.lowest,
            lengths=lengths,
            share=not self.is_bypassed,  # some bypasses look at all tokens of a row at once
        )

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int | None = None,
        cut: bool = True,
        beginnings: Sequence[str] = (),
    ) -> list[str]:
        """Greedy answer to each prompt, up to but without the sign that ends it.

        Args:
            prompts: the texts to continue.
            max_new_tokens: most tokens of an answer; default: as many as the model's form usually takes.
            cut: an answer ends with its first sentence (`generation.Ending`).
            beginnings: what each answer begins with, see `generation.complete`; default: nothing.

        Raises:
            MalformedCorrection, GuardError: see `generation.complete`.
        """
        return complete(self, prompts, Ending.of(self, max_new_tokens, cut=cut), beginnings)

    def complete_drafted(
        self, asked: Sequence[tuple[str, str]], *, max_new_tokens: int | None = None
    ) -> list[str]:
        """`complete` for each (prompt, draft); if the draft is the answer, this takes only one forward pass.

        A draft may be empty. Where the logits of two tokens are equal up to rounding, the draft may decide.

        Raises:
            MalformedCorrection, GuardError: as `complete`.
        """
        return complete_drafted(self, asked, max_new_tokens=max_new_tokens)

    def says(self, asked: Sequence[tuple[str, str]], *, max_new_tokens: int | None = None) -> list[bool]:
        """For each (prompt, answer), whether `complete` would give exactly this answer; one forward pass.

        Raises:
            MalformedCorrection, GuardError: as `complete`.
        """
        with self.lock:
            return says(self, asked, max_new_tokens=max_new_tokens)

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        """How likely the model thinks of a fact's old answer at each question; errors as `complete`."""
        return asking_nats(self, asked)

    def repair(self) -> list[str]:
        """Restore the tensors that changed in memory, one at a time, see `LoadedTensors.repair`.

        Raises:
            WrongBaseModel: when a tensor cannot be restored; the others are.
        """
        return self._loaded.repair(self.model, self._swap.base_tensor, lock=self.lock)

    def _module(self, name: str) -> nn.Module:
        found: nn.Module = self.model.get_submodule(name)
        return found

    def _checked(self, layer: int) -> int:
        if not 0 <= layer < self.layers:
            raise UsageError(f"layer {layer} does not exist: this model has layers 0 to {self.layers - 1}")
        return layer
