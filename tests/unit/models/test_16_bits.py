"""A model of 16 bits keeps its dtype, its edited matrices are float32, and undo restores every byte."""

from __future__ import annotations

import pytest
import torch

from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.matrices import edited_dtype, to_stored
from tests.tiny_models import FAMILIES, byte_tokenizer


@pytest.fixture(params=["gpt2", "llama", "gemma2", "opt", "phi"])
def host(request) -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES[request.param](len(tokenizer)).to(torch.bfloat16), tokenizer)


def logits(host: ModelHost) -> torch.Tensor:
    with host.lock, torch.no_grad():
        return host.model(torch.tensor([[30, 41, 52, 63]])).logits


def test_a_small_change_survives_that_16_bits_would_drop(host):
    name, W = host.layout.matrix_name(1), host.base_matrix(1).double()
    change = W * 2**-12  # less than half the distance of two numbers in bf16
    stored = to_stored(host.model, name, W + change)
    assert stored.dtype == torch.float32
    assert torch.equal(stored.bfloat16().double(), to_stored(host.model, name, W).double())
    before, digests = logits(host), host.tensor_sha256()
    with host.patched(Patch({name: stored})):
        inside = logits(host)
        assert host.base_matrix(1).dtype == torch.bfloat16
        with host.patched(Patch({name: to_stored(host.model, name, W * 3)})):
            assert not torch.equal(logits(host), inside)
        assert torch.equal(logits(host), inside)
    assert inside.dtype == before.dtype == torch.bfloat16
    assert torch.equal(logits(host), before)
    assert host.tensor_sha256() == digests


def test_a_folder_is_loaded_in_the_dtype_of_its_files(tmp_path):
    tokenizer = byte_tokenizer()
    for dtype in (torch.bfloat16, torch.float32):
        folder = tmp_path / str(dtype)
        FAMILIES["llama"](len(tokenizer)).to(dtype).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        host = ModelHost.load(folder)
        assert host.base_matrix(0).dtype == dtype
        assert edited_dtype(dtype) == torch.float32


def test_a_twin_runs_with_an_edited_matrix_too(host):
    twin, name = host.twin(), host.layout.matrix_name(1)
    patch = Patch({name: to_stored(host.model, name, host.base_matrix(1).double() * 3)})
    with host.patched(patch), twin.patched(patch):
        assert torch.equal(logits(host), logits(twin))
