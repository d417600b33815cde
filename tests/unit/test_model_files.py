"""What lies beside a model's weights, and what is said when it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardedit import assembly
from guardedit.core.errors import UsageError
from guardedit.settings import Settings, shipped_policy


@pytest.fixture
def beside(tmp_path):
    return Settings(home=tmp_path / "home", model=str(tmp_path), metrics=None)


def test_the_background_is_the_file_beside_the_model(beside, tmp_path):
    (tmp_path / assembly.BACKGROUND).write_text(json.dumps(["One.", "Two."]))
    assert assembly.background(beside, None) == ["One.", "Two."]


@pytest.mark.parametrize(("text", "says"), [("no", "is not JSON"), ('{"a": 1}', "must contain a list")])
def test_a_background_that_is_no_list_of_texts_is_refused(beside, tmp_path, text, says):
    (tmp_path / assembly.BACKGROUND).write_text(text)
    with pytest.raises(UsageError, match=says):
        assembly.background(beside, None)


def test_a_missing_probe_set_is_named_with_the_remedy(beside):
    with pytest.raises(UsageError, match="GUARDEDIT_PROBES"):
        assembly.load_probes(beside)
    with pytest.raises(UsageError, match=r"elsewhere\.json"):
        assembly.load_probes(replace(beside, probes=beside.home / "elsewhere.json"))


def test_shipped_policies_are_found_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shipped_policy("default.yaml").is_file()
    assert Settings().policy.is_file()
