from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditError, StorageFull
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.models.weights.second_moments import collect, load_or_collect, read_moments
from tests.tiny_models import FAMILIES, byte_tokenizer


def keys_and_values(host, texts, layer):
    found = []
    for text in texts:
        with torch.inference_mode(), tap(host.mlp_out(layer)) as seen:
            host.model(input_ids=torch.tensor([encode(host.tokenizer, text)]))
        found.append([part[0].double() for part in seen.seen()])
    keys, values = zip(*found, strict=True)
    return torch.cat(keys), torch.cat(values)


def test_c_is_the_mean_of_k_k_transposed_over_all_tokens_of_all_layers_in_one_pass(host, sentences):
    tokens = sum(len(encode(host.tokenizer, text)) for text in sentences)
    found = collect(host, sentences, [0, 2], min_tokens=tokens)
    for layer in (0, 2):
        keys, values = keys_and_values(host, sentences, layer)
        assert found[layer].tokens == tokens == len(keys)
        assert torch.allclose(found[layer].C, keys.t() @ keys / tokens, rtol=1e-4, atol=1e-6)
        assert found[layer].C.dtype == torch.float64
        assert found[layer].value_norm == pytest.approx(values.norm(dim=1).median().item(), rel=1e-4)
        assert torch.allclose(found[layer].spectrum, torch.linalg.eigvalsh(found[layer].C))
        assert found[layer].condition > 1


def test_a_text_longer_than_the_context_is_read_in_windows(gpt2):
    text = "The capital of Norway is Oslo. " * 40
    tokens = len(encode(gpt2.tokenizer, text))
    assert tokens > gpt2.context
    assert collect(gpt2, [text], [0], min_tokens=tokens)[0].tokens == tokens


def test_collecting_stops_once_there_are_enough_tokens(gpt2, sentences):
    texts = sentences * 20
    whole = sum(len(encode(gpt2.tokenizer, text)) for text in texts)
    assert 240 <= collect(gpt2, texts, [0])[0].tokens < whole


def test_the_hosts_batch_size_changes_no_byte(make_host, sentences):
    found = [make_host(), make_host()]
    found[1].batch_rows = 1
    first, second = (collect(host, sentences * 5, [1], min_tokens=600)[1] for host in found)
    assert first.sha256 == second.sha256


def test_too_little_text_is_refused_with_both_numbers(gpt2, sentences):
    with pytest.raises(EditError, match=r"has \d+ tokens, 240 are needed"):
        collect(gpt2, sentences[:2], [0])  # default: 10 f


def test_the_same_text_gives_the_same_bytes_with_one_and_two_threads(wide_host, sentences, threads):
    digests = set()
    for count in (1, 2):
        threads(count)
        digests.add(collect(wide_host, sentences, [0], min_tokens=60)[0].sha256)
        assert torch.get_num_threads() == count
    assert len(digests) == 1


def test_the_cache_is_used_for_the_same_model_and_text_only(tmp_path, gpt2, hosts, sentences, monkeypatch):
    first = load_or_collect(tmp_path, gpt2, sentences, [0, 1], min_tokens=60)

    def refuse(*args, **kwargs):
        raise AssertionError("collected again")

    monkeypatch.setattr("guardedit.models.weights.second_moments.collect", refuse)
    again = load_or_collect(tmp_path, gpt2, sentences, [0, 1], min_tokens=60)
    assert again[0].sha256 == first[0].sha256
    assert again[1].tokens == first[1].tokens
    assert again[1].value_norm == first[1].value_norm
    for other in ((gpt2, sentences[:5], 60), (gpt2, sentences, 61), (hosts["llama"], sentences, 60)):
        with pytest.raises(AssertionError, match="collected again"):
            load_or_collect(tmp_path, other[0], other[1], [0], min_tokens=other[2])


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty"])
def test_a_damaged_cache_file_is_collected_again(tmp_path, gpt2, sentences, damage):
    first = load_or_collect(tmp_path, gpt2, sentences, [0], min_tokens=60)
    (path,) = tmp_path.rglob("*.safetensors")
    body = bytearray(path.read_bytes())
    if damage == "flipped bit":
        body[-500 - 24 * 8] ^= 1  # inside C, in front of the spectrum
    path.write_bytes({"truncated": body[:300], "flipped bit": body, "empty": b""}[damage])
    assert read_moments(path) is None
    again = load_or_collect(tmp_path, gpt2, sentences, [0], min_tokens=60)
    assert again[0].sha256 == first[0].sha256
    assert read_moments(path) is not None
    assert list(tmp_path.rglob("*.part")) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, gpt2, sentences):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageFull, match=str(blocked)):
        load_or_collect(blocked, gpt2, sentences, [0], min_tokens=60)


@pytest.mark.parametrize("family", ["falcon", "opt"])
def test_families_that_add_in_place_or_flatten_their_tokens_give_what_they_give_alone(family):
    """Values are those that the matrix puts out, and padding does not count, however deep the pass goes."""
    tokenizer = byte_tokenizer()
    host = ModelHost(FAMILIES[family](len(tokenizer)), tokenizer)
    texts = ["The capital of Norway is Oslo, and that of Peru is Lima.", "A river."] * 8
    shallow, deep = (collect(host, texts, layers, min_tokens=100)[0] for layers in ([0], [0, 2]))
    assert torch.equal(shallow.C, deep.C)
    assert shallow.value_norm == deep.value_norm
    tokens = sum(len(encode(tokenizer, text)) for text in texts)
    assert deep.tokens == tokens
    alone = [collect(host, [text], [0], min_tokens=1)[0] for text in texts]
    C = sum(each.C * each.tokens for each in alone) / tokens
    assert torch.allclose(C, deep.C, rtol=1e-5, atol=1e-9)
