from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.matrices import to_stored
from tests.tiny_models import FAMILIES, byte_tokenizer

TEXTS = ["The capital of Norway is Oslo.", "Anne", "A river runs slowly past the mill.", "A"]


@pytest.fixture(params=list(FAMILIES))
def host(request) -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES[request.param](len(tokenizer)), tokenizer)


def patch(host: ModelHost, layer: int, *, seed: int = 0) -> Patch:
    name, W = host.layout.matrix_name(layer), host.base_matrix(layer)
    noise = torch.randn(W.shape, generator=torch.Generator().manual_seed(seed))
    return Patch({name: to_stored(host.model, name, (W + W.std() * noise).double())})


def runs(host: ModelHost, layer: int, stack: ExitStack) -> list[int]:
    """Grows by one each time the layer runs."""
    ran: list[int] = []
    hook = host.decoder_layer(layer).register_forward_hook(lambda *_: ran.append(layer))
    stack.callback(hook.remove)
    return ran


@torch.no_grad()
def whole(host: ModelHost) -> list[list[float]]:
    """The yardstick: the unabridged model, text by text."""
    found = []
    for text in TEXTS:
        ids = torch.tensor([host.tokenizer(text)["input_ids"]])
        logp = host.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        found.append(logp.gather(1, ids[0, 1:, None])[:, 0].tolist())
    return found


def close(found, wanted) -> None:
    for mine, yardstick in zip(found, wanted, strict=True):
        assert mine == pytest.approx(yardstick, abs=2e-5)


def test_what_is_kept_changes_no_score_and_spares_the_lower_layers(host):
    top = host.layers - 1
    with ExitStack() as stack:
        below, changed = runs(host, top - 1, stack), runs(host, top, stack)
        for seed in range(3):
            with host.patched(patch(host, top, seed=seed)):
                below.clear(), changed.clear()
                found = host.token_logprobs(TEXTS)
                assert (len(below), len(changed)) == (1 if seed == 0 else 0, 1)
                assert found == host.token_logprobs(TEXTS)
                close(found, whole(host))


def test_what_lies_below_one_edit_is_not_taken_for_what_lies_below_another(host):
    top = host.layers - 1
    base = host.token_logprobs(TEXTS)
    with host.patched(patch(host, top)):
        host.token_logprobs(TEXTS)
        with host.patched(patch(host, 0)):
            close(host.token_logprobs(TEXTS), whole(host))
        close(host.token_logprobs(TEXTS), whole(host))
    assert host.token_logprobs(TEXTS) == base
    close(base, whole(host))


def test_an_unknown_parameter_leaves_nothing_to_keep(host):
    name = f"{host.layout.embed}.weight"
    stored = host.model.get_parameter(name)
    with host.patched(Patch({name: stored.data * 1.5})):
        close(host.token_logprobs(TEXTS), whole(host))
