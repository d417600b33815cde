from __future__ import annotations

import math
import threading

import pytest
import torch

from guardedit.core.errors import EditError, GuardError, MalformedCorrection, UnknownLayout, UsageError
from guardedit.models.bypass import Patch
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode

TEXTS = [
    "The capital of Norway is Oslo.",
    "Anne",
    "The",
    "A river of twelve bridges runs slowly past the mill.",
]


@pytest.fixture
def folder(tmp_path, make_host):
    host = make_host("llama")
    host.model.save_pretrained(tmp_path)
    host.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_loads_to_the_same_digest_twice_and_as_it_was_saved(folder, make_host):
    first, second = ModelHost.load(folder), ModelHost.load(folder)
    assert first.base_sha256 == second.base_sha256 == make_host("llama").base_sha256
    assert first.complete(TEXTS) == make_host("llama").complete(TEXTS)
    assert not any(parameter.requires_grad for parameter in first.model.parameters())


def test_one_flipped_bit_changes_the_digest_of_one_tensor(make_host):
    plain, flipped = make_host(), make_host()
    name = plain.layout.matrix_name(1)
    flipped.model.get_parameter(name).data.view(torch.int32)[0, 0] ^= 1
    before, after = plain.tensor_sha256(), flipped.tensor_sha256()
    assert [key for key in before if before[key] != after[key]] == [name]
    assert ModelHost(flipped.model, flipped.tokenizer).base_sha256 != plain.base_sha256


def test_two_architectures_never_share_a_digest(hosts):
    assert len({host.base_sha256 for host in hosts.values()}) == len(hosts)


@pytest.mark.parametrize("damage", ["missing", "no weights", "pickle only", "truncated", "no tokenizer"])
def test_a_folder_that_cannot_be_loaded_is_named(folder, damage, tmp_path):
    weights = folder / "model.safetensors"
    if damage == "missing":
        folder = tmp_path / "nowhere"
    elif damage == "no weights":
        weights.unlink()
    elif damage == "pickle only":
        weights.rename(folder / "pytorch_model.bin")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:500])
    else:
        for path in folder.glob("tokenizer*"):
            path.unlink()
    with pytest.raises(UsageError, match=str(folder)):
        ModelHost.load(folder)


def test_a_model_without_a_card_whose_structure_is_unclear_is_refused(tokenizer, tmp_path):
    from transformers import OPTConfig, OPTForCausalLM

    small = OPTConfig(
        hidden_size=8, ffn_dim=8, word_embed_proj_dim=8, num_hidden_layers=1, num_attention_heads=1,
        vocab_size=320, do_layer_norm_before=False,
    )  # fmt: skip
    OPTForCausalLM(small).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnknownLayout, match="OPTForCausalLM"):
        ModelHost.load(tmp_path)


def test_a_model_that_names_no_longest_input_is_refused(tokenizer):
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=320, hidden_size=16, n_layer=2, n_head=2))
    with pytest.raises(
        UnknownLayout, match="BloomConfig does not say the longest input: set max_position_embeddings"
    ):
        ModelHost(model, tokenizer)


def test_a_layer_that_does_not_exist_is_named(gpt2):
    with pytest.raises(UsageError, match="layer 3 does not exist: this model has layers 0 to 2"):
        gpt2.mlp_out(3)


def test_log_probabilities_are_those_of_the_softmax_and_number_n_minus_one(host):
    scores = host.token_logprobs(TEXTS)
    for text, line in zip(TEXTS, scores, strict=True):
        ids = encode(host.tokenizer, text)
        with torch.inference_mode():
            logits = host.model(input_ids=torch.tensor([ids])).logits[0].float()
        wanted = [logits.log_softmax(-1)[i, token].item() for i, token in enumerate(ids[1:])]
        assert line == pytest.approx(wanted, abs=1e-4)
        assert len(line) == len(ids) - 1
    assert all(math.isfinite(score) and score < 0 for line in scores for score in line)


def test_a_text_of_one_token_and_no_text_have_no_scores(gpt2):
    assert gpt2.token_logprobs(["A"]) == [[]]
    assert gpt2.token_logprobs([]) == []
    assert gpt2.complete([]) == []


def test_a_text_longer_than_the_context_is_refused_not_cut(gpt2):
    with pytest.raises(MalformedCorrection, match="context holds 64"):
        gpt2.token_logprobs(["Peru " * 100])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("cuda"), "DefaultCPUAllocator: can't allocate memory"]
)
def test_running_out_of_memory_is_a_failed_measurement_with_a_remedy(make_host, error):
    def fail(_):
        raise error if isinstance(error, RuntimeError) else RuntimeError(error)

    host = make_host()
    with tap(host.mlp_out(0), replace=fail):
        for ask in (host.token_logprobs, host.complete):
            with pytest.raises(GuardError, match="4 rows a batch: lower batch_rows"):
                ask(TEXTS)


def test_another_runtime_error_keeps_its_name(make_host):
    def fail(_):
        raise RuntimeError("boom")

    host = make_host()
    with tap(host.mlp_out(0), replace=fail), pytest.raises(RuntimeError, match="boom"):
        host.complete(TEXTS)


def other(host, layer: int) -> dict[str, torch.Tensor]:
    name = host.layout.matrix_name(layer)
    return {name: torch.full_like(host.model.get_parameter(name).data, 0.25)}


def test_patched_changes_scores_inside_and_restores_every_bit_outside(host):
    before, scores = host.tensor_sha256(), host.token_logprobs(TEXTS)
    with host.patched(Patch(other(host, 1))):
        assert host.token_logprobs(TEXTS) != scores
        inside = host.tensor_sha256()
    assert [name for name in before if before[name] != inside[name]] == [host.layout.matrix_name(1)]
    assert host.tensor_sha256() == before
    assert host.token_logprobs(TEXTS) == scores


def test_patched_restores_when_the_block_raises(host):
    before = host.tensor_sha256()
    with pytest.raises(RuntimeError, match="boom"), host.patched(Patch(other(host, 0))):
        raise RuntimeError("boom")
    assert host.tensor_sha256() == before


def test_patched_changes_nothing_when_its_second_matrix_does_not_fit(gpt2):
    before = gpt2.tensor_sha256()
    matrices = {**other(gpt2, 0), gpt2.layout.matrix_name(1): torch.ones(2, 2)}
    with pytest.raises(EditError, match="got"), gpt2.patched(Patch(matrices)):
        pass
    assert gpt2.tensor_sha256() == before


def test_patched_nests_and_the_base_stays_readable_throughout(gpt2):
    base = gpt2.base_matrix(1).clone()
    before = gpt2.tensor_sha256()
    with gpt2.patched(Patch(other(gpt2, 1))):
        middle = gpt2.tensor_sha256()
        with gpt2.patched(Patch({**other(gpt2, 0), gpt2.layout.matrix_name(1): torch.zeros(24, 16)})):
            assert torch.equal(gpt2.base_matrix(1), base)
        assert gpt2.tensor_sha256() == middle
        assert torch.equal(gpt2.base_matrix(1), base)
    assert gpt2.tensor_sha256() == before


def test_no_thread_sees_a_patched_model_of_another(make_host):
    host = make_host()
    plain = host.complete(TEXTS)
    found: list[list[str]] = []
    asking = threading.Thread(target=lambda: found.append(host.complete(TEXTS)))
    with host.patched(Patch(other(host, 1))):
        asking.start()
        asking.join(timeout=0.2)
        assert not found
    asking.join()
    assert found == [plain]
