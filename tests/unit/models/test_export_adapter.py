"""The edits as one adapter: its exact rank, and logits that equal the edited model's in the real PEFT."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from peft import PeftModel

from guardedit.core.errors import EditError, UsageError
from guardedit.models.bypass import Patch
from guardedit.models.export.adapter import GGUF, adapter_of, check_adapter, write_gguf, write_peft
from guardedit.models.export.low_rank import factored
from guardedit.models.host import ModelHost
from guardedit.models.matrices import read_matrix, to_stored
from tests.tiny_models import FAMILIES, KIN, byte_tokenizer

ALL = {**FAMILIES, **KIN}
TEXTS = ["Oslo is the capital of Norway.", "Stelco makes steel in Hamilton."]


def edited(
    family: str, ranks: dict[int, int], *, dtype: torch.dtype = torch.float32
) -> tuple[ModelHost, Patch]:
    """A model and a patch with changes of these ranks, by layer."""
    tokenizer = byte_tokenizer()
    host = ModelHost(ALL[family](len(tokenizer)).to(dtype), tokenizer)
    random = torch.Generator().manual_seed(0)
    matrices = {}
    for layer, rank in ranks.items():
        name = host.layout.matrix_name(layer)
        W = read_matrix(host.model, name).double()  # a fold rounds once, at its end
        left, right = (torch.randn(n, rank, generator=random).double() for n in W.shape)
        matrices[name] = to_stored(host.model, name, W + 0.05 * left @ right.t())
    return host, Patch(matrices)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma3"])
def test_peft_computes_the_edited_models_logits(family: str, tmp_path: Path):
    host, patch = edited(family, {0: 3, 2: 7})
    adapter = adapter_of(host, patch)
    assert {change.rank for change in adapter.values()} == {7}
    write_peft(host, adapter, tmp_path / "adapter", base="here", manifest={"epoch": 4})
    ids = torch.tensor([host.tokenizer(TEXTS[0])["input_ids"]])
    with torch.inference_mode():
        base = host.model(ids).logits
        with host.patched(patch):
            wanted = host.model(ids).logits
        found = PeftModel.from_pretrained(host.model, tmp_path / "adapter")(ids).logits
    assert float((wanted - base).abs().max()) > 1e-2
    assert float((found - wanted).abs().max()) < 1e-5
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 7
    assert json.loads((tmp_path / "adapter" / "guardedit.json").read_text()) == {"epoch": 4}


def test_the_check_measures_what_peft_would_compute():
    host, patch = edited("llama", {1: 5})
    check = check_adapter(host, patch, adapter_of(host, patch), TEXTS)
    assert check.logit_difference < 1e-5 < check.logit_difference_16
    assert 0.9 < check.same_best_16 <= 1
    assert check.tokens == sum(len(host.tokenizer(text)["input_ids"]) for text in TEXTS)


@pytest.mark.parametrize("rank", [0, 1, 12])
@pytest.mark.parametrize("size", [(32, 128), (2100, 2304)])
def test_the_rank_of_a_change_is_exact(rank: int, size: tuple[int, int]):
    random = torch.Generator().manual_seed(1)
    W = torch.randn(size, generator=random)
    left, right = (torch.randn(n, rank, generator=random) for n in size)
    after = (W.double() + 0.01 * left.double() @ right.t().double()).float()
    found = factored(W, after)
    assert found.rank == rank
    assert torch.allclose(found.B @ found.A, after - W, atol=2e-6)


def test_a_16_bit_model_is_exported_by_its_masters():
    host, patch = edited("llama", {1: 4}, dtype=torch.bfloat16)
    adapter = adapter_of(host, patch)
    assert [change.rank for change in adapter.values()] == [4]


def test_what_no_adapter_holds_is_refused(tmp_path: Path):
    host, patch = edited("llama", {1: 1})
    name = "model.norm.weight"
    with pytest.raises(EditError, match=r"model\.norm\.weight is no matrix"):
        adapter_of(host, Patch({name: torch.zeros(32)}))
    with pytest.raises(EditError, match="no edits"):
        write_peft(host, {}, tmp_path / "none", base="", manifest={})
    assert not (tmp_path / "none").exists()
    adapter = adapter_of(host, patch)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_peft(host, adapter, tmp_path / "used", base="", manifest={})
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_gguf_names_the_matrices_as_llama_cpp_does(tmp_path: Path):
    host, patch = edited("llama", {0: 2, 2: 3})
    adapter = adapter_of(host, patch)
    write_gguf(adapter, tmp_path / "g", architecture="llama", layers=host.layers, manifest={})
    reader = gguf.GGUFReader(tmp_path / "g" / GGUF)
    fields = {name: reader.fields[name].contents() for name in reader.fields}
    assert fields["general.type"] == "adapter"
    assert fields["general.architecture"] == "llama"
    assert fields["adapter.type"] == "lora"
    assert fields["adapter.lora.alpha"] == 3.0
    tensors = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    assert sorted(tensors) == [
        f"blk.{layer}.ffn_down.weight.lora_{side}" for layer in (0, 2) for side in "ab"
    ]
    change = adapter["model.layers.2.mlp.down_proj"]
    found = tensors["blk.2.ffn_down.weight.lora_b"] @ tensors["blk.2.ffn_down.weight.lora_a"]
    assert torch.equal(found, change.B @ change.A)
    with pytest.raises(EditError, match="gguf knows no architecture 'nothing': update it"):
        write_gguf(adapter, tmp_path / "h", architecture="nothing", layers=3, manifest={})
