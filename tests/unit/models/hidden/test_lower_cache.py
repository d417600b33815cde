"""Rows are known again beside other rows, in files and in memory, and no score depends on what is kept."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from guardedit.models.bypass import Patch
from guardedit.models.hidden.running import MIN_COMMON, PartialDecoder
from guardedit.models.host import ModelHost
from guardedit.models.matrices import to_stored
from tests.tiny_models import FAMILIES, byte_tokenizer

TEXTS = ["The capital of Norway is Oslo.", "Anne", "A river runs slowly past the mill.", "A mill"]
CHAT = "<system> You are a helpful model. <user> "


@pytest.fixture(params=list(FAMILIES))
def host(request) -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES[request.param](len(tokenizer)), tokenizer)


def gpt2() -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES["gpt2"](len(tokenizer)), tokenizer)


def patch(host: ModelHost, layer: int) -> Patch:
    name, W = host.layout.matrix_name(layer), host.base_matrix(layer)
    noise = torch.randn(W.shape, generator=torch.Generator().manual_seed(layer))
    return Patch({name: to_stored(host.model, name, (W + W.std() * noise).double())})


def rows_run(host: ModelHost, layer: int, stack: ExitStack) -> list[int]:
    """The number of rows of each pass of a layer."""
    seen: list[int] = []
    hook = host.decoder_layer(layer).register_forward_hook(
        lambda _, args, kwargs, out: seen.append(len(args[0] if args else kwargs["hidden_states"])),
        with_kwargs=True,
    )
    stack.callback(hook.remove)
    return seen


def close(found, wanted) -> None:
    assert len(found) == len(wanted)
    for mine, yardstick in zip(found, wanted, strict=True):
        assert mine == pytest.approx(yardstick, abs=2e-5)


@torch.no_grad()
def whole(host: ModelHost, texts) -> list[list[float]]:
    found = []
    for text in texts:
        ids = torch.tensor([host.tokenizer(text)["input_ids"]])
        logp = host.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        found.append(logp.gather(1, ids[0, 1:, None])[:, 0].tolist())
    return found


@pytest.mark.parametrize("in_files", [True, False])
def test_only_new_rows_run_the_lower_layers(in_files, tmp_path):
    host = gpt2()
    if in_files:
        host.hidden.keep_in(tmp_path)
    with ExitStack() as stack, host.patched(patch(host, 2)):
        host.token_logprobs(TEXTS[:3])
        below = rows_run(host, 1, stack)
        host.token_logprobs(TEXTS[1:])
        assert below == [1]
        host.token_logprobs(TEXTS)
        assert below == [1]


def test_another_process_finds_the_rows_in_files(host, tmp_path):
    host.hidden.keep_in(tmp_path)
    with host.patched(patch(host, 2)):
        first = host.token_logprobs(TEXTS)
    later = host.twin()
    later.hidden.keep_in(tmp_path)
    with ExitStack() as stack, later.patched(patch(later, 2)):
        below = rows_run(later, 1, stack)
        assert later.token_logprobs(TEXTS) == first
        assert below == []
        close(first, whole(later, TEXTS))


def test_another_base_model_finds_nothing(tmp_path):
    host = gpt2()
    host.hidden.keep_in(tmp_path)
    base = host.token_logprobs(TEXTS)
    model = FAMILIES["gpt2"](len(host.tokenizer))
    with torch.no_grad():
        model.get_parameter(host.layout.matrix_name(0)).mul_(2)
    other = ModelHost(model, host.tokenizer)
    other.hidden.keep_in(tmp_path)
    close(other.token_logprobs(TEXTS), whole(other, TEXTS))
    assert other.token_logprobs(TEXTS) != base


def test_higher_layers_start_from_the_rows_of_lower_ones():
    host = gpt2()
    with host.patched(patch(host, 1)):
        host.token_logprobs(TEXTS)
    with ExitStack() as stack:
        lowest, next_one = rows_run(host, 0, stack), rows_run(host, 1, stack)
        close(host.token_logprobs(TEXTS), whole(gpt2(), TEXTS))
        assert (lowest, len(next_one)) == ([], 1)


def test_a_common_beginning_changes_no_score_and_runs_once(host):
    texts = [CHAT + text for text in TEXTS]
    with host.patched(patch(host, 1)), ExitStack() as stack:
        rows = rows_run(host, 1, stack)
        found = host.token_logprobs(texts)
        assert sorted(rows) == [1, len(texts)]
        close(found, whole(host, texts))


@torch.no_grad()
def test_a_part_of_the_decoder_gives_what_the_whole_gives(host):
    decoder = PartialDecoder(host.model, host.layout, host.layers)
    ids = torch.randint(1, 90, (4, MIN_COMMON + 5), generator=torch.Generator().manual_seed(0))
    ids[:, : MIN_COMMON + 1] = ids[0, : MIN_COMMON + 1]
    for to in (0, 1, None):
        torch.testing.assert_close(
            decoder.run(ids, to=to), decoder.run(ids, to=to, share=False), atol=2e-5, rtol=1e-4
        )


def test_forgetting_removes_the_files(tmp_path):
    host = gpt2()
    host.hidden.keep_in(tmp_path)
    host.token_logprobs(TEXTS)
    assert list(tmp_path.rglob("*.safetensors"))
    host.hidden.forget()
    assert not list(tmp_path.rglob("*.safetensors"))
