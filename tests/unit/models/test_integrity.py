"""A tensor that was changed in memory is found and brought back, whichever it is, whoever runs the model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from guardedit.core.errors import UsageError, WrongBaseModel
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.integrity import tensor_names, tensor_of
from tests.unit.models.conftest import CONFIGS, build

PROMPTS = ("The capital of Norway is", "Anne", "A river")


@pytest.fixture(params=["gpt2", "llama", "qwen2", "gpt_neox"])
def loaded(request, tmp_path, tokenizer) -> ModelHost:
    model = build(request.param, tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return ModelHost.load(tmp_path, batch_rows=4)


def flip(host: ModelHost, name: str) -> None:
    """One bit of the first number."""
    tensor_of(host.model, name).view(-1)[:1].view(torch.uint8)[0] ^= 64


def test_every_tensor_is_watched_and_brought_back_bit_for_bit(loaded):
    answers, sha256 = loaded.complete(PROMPTS), loaded.tensor_sha256()
    assert loaded.repair() == []
    names = tensor_names(loaded.model)
    assert {name for name, _ in loaded.model.named_parameters()} <= set(names)
    for name in names:
        flip(loaded, name)
    told = loaded.repair()
    assert [line.split()[0] for line in told] == names
    assert loaded.repair() == []
    assert (loaded.tensor_sha256(), loaded.complete(PROMPTS)) == (sha256, answers)


def test_a_single_flipped_bit_is_named(loaded):
    name = loaded.layout.matrix_name(1)
    flip(loaded, name)
    assert loaded.repair() == [f"{name} was changed in memory; it was loaded again"]


def test_a_tensor_that_was_exchanged_is_exchanged_again(loaded):
    name = loaded.layout.matrix_name(0)
    loaded.model.get_parameter(name).data = torch.zeros(2, 2)
    assert len(loaded.repair()) == 1
    assert loaded.complete(PROMPTS)
    assert loaded.repair() == []


def test_buffers_count_and_those_that_move_by_design_do_not(tokenizer, loaded):
    rotary = [name for name in tensor_names(loaded.model) if name.endswith("inv_freq")]
    parameters = {name for name, _ in loaded.model.named_parameters()}
    assert set(rotary) == {name for name, _ in loaded.model.named_buffers() if name.endswith("inv_freq")}
    assert set(tensor_names(loaded.model)) >= parameters
    config = CONFIGS["llama"](len(tokenizer))
    assert isinstance(config, LlamaConfig)
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    moving = AutoModelForCausalLM.from_config(config)
    assert not [name for name in tensor_names(moving) if "inv_freq" in name]
    ModelHost(moving, tokenizer).complete(["river " * 10])


def test_what_lower_layers_kept_is_forgotten_with_the_changed_tensor(loaded):
    text = ["The mother tongue of Marie Curie is Polish"]
    scores = loaded.token_logprobs(text)
    loaded.hidden.forget()
    tensor_of(loaded.model, loaded.layout.matrix_name(0)).mul_(2)
    assert loaded.token_logprobs(text) != scores
    loaded.repair()
    assert loaded.token_logprobs(text) == scores


def test_without_a_folder_the_error_names_the_tensor_and_the_remedy(make_host):
    host = make_host()
    assert host.repair() == []
    name = host.layout.matrix_name(1)
    flip(host, name)
    with pytest.raises(WrongBaseModel, match=f"{name} changed in memory.*restart this process"):
        host.repair()


def test_a_folder_that_changed_as_well_is_not_loaded_into_service(tmp_path, tokenizer):
    build("llama", tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    host = ModelHost.load(tmp_path)
    first, second = host.layout.matrix_name(0), host.layout.matrix_name(1)
    weights = load_file(tmp_path / "model.safetensors")
    weights[first] = weights[first] + 1
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    flip(host, first)
    flip(host, second)
    with pytest.raises(WrongBaseModel, match=f"^{first} changed"):
        host.repair()
    assert host.tensor_sha256()[second] == ModelHost.load(tmp_path).tensor_sha256()[second]


def test_a_repair_beside_a_patched_model_mends_the_base_and_keeps_the_patch(loaded):
    name, other = loaded.layout.matrix_name(1), loaded.layout.matrix_name(2)
    edited = tensor_of(loaded.model, name) * 2
    patched, go_on = threading.Event(), threading.Event()

    def trial() -> bool:
        with loaded.patched(Patch({name: edited})):
            patched.set()
            assert go_on.wait(10)
            return torch.equal(tensor_of(loaded.model, name), edited)

    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(trial)
        assert patched.wait(10)
        assert loaded.base_matrix(1).shape  # does not wait for the trial
        flip(loaded, other)
        repairing = threads.submit(loaded.repair)
        go_on.set()
        assert running.result(10)
        assert len(repairing.result(10)) == 1
    assert loaded.repair() == []


def test_a_twin_answers_while_the_model_is_held_and_takes_no_memory(loaded):
    twin, answers = loaded.twin(), loaded.complete(PROMPTS)
    assert twin.base_sha256 == loaded.base_sha256
    pairs = zip(twin.model.parameters(), loaded.model.parameters(), strict=True)
    assert all(mine.data_ptr() == its.data_ptr() and mine is not its for mine, its in pairs)
    name = loaded.layout.matrix_name(1)
    with loaded.patched(Patch({name: torch.zeros_like(tensor_of(loaded.model, name))})):
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(twin.complete, PROMPTS).result(10) == answers
        with pytest.raises(UsageError, match="outside of `patched`"):
            loaded.twin()


def test_what_one_twin_brings_back_is_back_in_the_other(loaded):
    twin, sha256 = loaded.twin(), loaded.tensor_sha256()
    flip(loaded, loaded.layout.matrix_name(1))
    assert len(twin.repair()) == 1
    assert loaded.tensor_sha256() == sha256
    assert loaded.repair() == []
