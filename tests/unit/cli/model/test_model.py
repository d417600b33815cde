"""`guardedit model`: add, list, show and check, on a tiny folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import LlamaConfig

from tests.tiny_models import build, byte_tokenizer
from tests.unit.cli.conftest import command


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GUARDEDIT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "tiny-llama"
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    build(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_is_added_listed_shown_and_checked(models, source):
    said = command("model", "list")
    assert "guardedit model add smollm2" in said.out
    said = command("model", "add", source, "--name", "mine")
    assert said.code == 0, said.err
    assert "export GUARDEDIT_MODEL=mine" in said.out
    assert "guardedit model prepare mine" in said.out
    (row,) = command("model", "list", "--output", "json").json
    assert (row["name"], row["architecture"], row["form"], row["prepared"]) == (
        "mine", "LlamaForCausalLM", "raw", "no",
    )  # fmt: skip
    assert row["parameters"] > 1000
    shown = command("model", "show", "mine", "--output", "json").json
    assert shown["source"] == str(source)
    assert shown["missing"][0] == "edit_card.json"
    (models / "mine" / "noise.json").write_text(json.dumps({"questions": {"share": 0.0123456}}))
    (models / "mine" / "prepared.md").write_text("Seconds an edit: 3\n")
    page = command("model", "show", "mine").out
    assert "  questions:\n    share: 0.01235" in page
    assert "Seconds an edit: 3" in page


def test_check_says_layout_memory_and_what_is_missing(models, source):
    command("model", "add", source, "--name", "mine")
    said = command("model", "check", "--output", "json")
    assert said.code == 0
    assert "GB of memory" in said.err
    (page,) = said.json
    assert page["editable"] is True
    assert "down projection: mlp.down_proj, from f = 64 to d = 32" in page["layout"]
    assert page["problems"] == []
    assert page["remedy"] == "`guardedit model prepare mine` makes them"
    assert "mlp.down_proj" in command("model", "check", source).out


def test_check_finds_changed_lost_and_other_files(models, source):
    command("model", "add", source, "--name", "mine")
    (source / "generation_config.json").unlink()
    (models / "mine" / "tokenizer_config.json").unlink()
    shutil.copyfile(source / "tokenizer_config.json", models / "mine" / "tokenizer_config.json")
    with (models / "mine" / "tokenizer_config.json").open("a") as file:
        file.write("\n")
    said = command("model", "check", "mine", "--output", "json")
    assert said.code == 1
    problems = " ".join(said.json[0]["problems"])
    assert "generation_config.json: its file is gone" in problems
    assert "tokenizer_config.json: changed" in problems


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "smolm2"), "is not a known model"),
        (("add", "/nowhere/x"), "does not exist"),
        (("show", "nothing"), "no such name"),
        (("check", "nothing"), "no such name"),
    ],
)
def test_what_is_not_there_is_a_wrong_usage(models, arguments, says):
    said = command("model", *arguments)
    assert said.code == 2
    assert says in said.err


def test_a_model_that_is_not_edited_is_not_editable(models, tmp_path):
    (tmp_path / "moe").mkdir()
    (tmp_path / "moe" / "config.json").write_text(json.dumps({"model_type": "mixtral"}))
    said = command("model", "check", tmp_path / "moe", "--output", "json")
    assert said.code == 1
    assert said.json[0]["editable"] is False
    assert "mixture of experts" in said.json[0]["problems"][0]
