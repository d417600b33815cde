"""What lies beside a model's weights, and what is said when it does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardedit import assembly
from guardedit.core.errors import PolicyError, UsageError
from guardedit.settings import Settings, shipped_policy


@pytest.fixture
def beside(tmp_path):
    return Settings(home=tmp_path / "home", model=str(tmp_path), metrics=None)


def test_the_layer_is_the_policys_else_the_cards(beside, policy, tmp_path):
    with pytest.raises(PolicyError, match=r"set editing\.layer"):
        assembly.edit_layer(policy, beside)
    (tmp_path / assembly.EDIT_CARD).write_text('{"layer": 5}')
    assert assembly.edit_layer(policy, beside) == 5
    named = policy.model_copy(update={"editing": policy.editing.model_copy(update={"layer": 2})})
    assert assembly.edit_layer(named, beside) == 2


@pytest.mark.parametrize("text", ["[5]", "{}", '{"layer": null}', "no"])
def test_a_card_that_names_no_layer_is_refused(beside, policy, tmp_path, text):
    (tmp_path / assembly.EDIT_CARD).write_text(text)
    with pytest.raises(UsageError, match=r"edit_card\.json is not an edit card"):
        assembly.edit_layer(policy, beside)


def test_the_background_is_the_file_beside_the_model(beside, tmp_path):
    (tmp_path / assembly.BACKGROUND).write_text(json.dumps(["One.", "Two."]))
    assert assembly.background(beside, None) == ["One.", "Two."]


@pytest.mark.parametrize(("text", "says"), [("no", "is not JSON"), ('{"a": 1}', "must hold a list")])
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
