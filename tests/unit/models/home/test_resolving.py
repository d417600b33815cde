"""GUARDEDIT_MODEL is a name, a folder or a GGUF file; anything else is refused with the known names."""

from __future__ import annotations

import shutil

import pytest

from guardedit import assembly
from guardedit.core.errors import UsageError
from guardedit.models.home import resolving
from guardedit.models.home.resolving import find_model
from guardedit.settings import Settings


def test_a_name_goes_before_a_folder_of_the_same_name_here(tmp_path, monkeypatch):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("mine", tmp_path / "models") == tmp_path / "models" / "mine"
    assert find_model("./mine", tmp_path / "models").resolve() == tmp_path / "mine"
    settings = Settings(model="mine", models=tmp_path / "models")
    assert assembly.model_folder(settings) == tmp_path / "models" / "mine"


def test_an_unknown_name_lists_the_known_ones_and_the_command(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(
        UsageError, match=r"known names in .*: mine; add it with `guardedit model add smollm2`"
    ):
        find_model("smollm2", tmp_path)
    with pytest.raises(UsageError, match=r"nowhere is not a model folder: there is no such folder"):
        find_model(str(tmp_path / "nowhere"), tmp_path)


def test_a_gguf_file_is_converted_once(tiny_gguf, tmp_path, monkeypatch):
    file = tmp_path / "my.gguf"
    shutil.copyfile(tiny_gguf, file)
    models = tmp_path / "models"
    folder = find_model(str(file), models)
    assert folder.name.startswith("my-")
    assert (folder / "config.json").is_file()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(resolving, "add_model", never)
    monkeypatch.setattr(resolving, "file_sha256", never)
    assert find_model(str(file), models) == folder
    assert find_model(str(file), models) == folder


def test_a_file_that_is_not_gguf_is_refused(tmp_path):
    file = tmp_path / "my.gguf"
    file.write_bytes(b"PK..")
    with pytest.raises(UsageError, match="is not a GGUF file"):
        find_model(str(file), tmp_path / "models")
