from __future__ import annotations

import pytest

from guardedit import assembly
from guardedit.core.errors import UsageError
from guardedit.policy.load import load_policy
from guardedit.prepare.preparing import Preparation, PrepareRequest
from guardedit.settings import Settings, policy_file

FILES = ("background.json", "edit_card.json", "probes.json", "memory_card.json", "noise.json")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def preparation(folder, *again: str) -> Preparation:
    settings = Settings(home=folder.parent / "home", model=str(folder), policy=policy_file("default"))
    request = PrepareRequest(again=frozenset(again))
    return Preparation(settings, load_policy(settings.policy), request)


def test_only_what_is_missing_is_made_in_order(folder) -> None:
    assert preparation(folder).missing() == list(FILES)
    for name in ("probes.json", "edit_card.json"):
        (folder / name).write_text("{}")
    assert preparation(folder).missing() == ["background.json", "memory_card.json", "noise.json"]


def test_a_new_edit_card_has_its_own_noise(folder) -> None:
    for name in FILES:
        (folder / name).write_text("{}")
    assert preparation(folder).missing() == []
    assert preparation(folder, assembly.EDIT_CARD).missing() == ["edit_card.json", "noise.json"]


def test_an_unknown_file_and_the_embedded_model_are_refused(folder) -> None:
    with pytest.raises(UsageError, match=r"--again edit_card: name one of background\.json, edit_card\.json"):
        preparation(folder, "edit_card")
    settings = Settings(home=folder.parent / "home", policy=policy_file("default"))
    with pytest.raises(UsageError, match="is prepared already"):
        Preparation(settings, load_policy(settings.policy), PrepareRequest())


def test_a_stopped_preparation_goes_on_where_it_was(folder, monkeypatch) -> None:
    for name in FILES[1:]:
        (folder / name).write_text(
            '{"questions": [], "texts": [], "asked": {}, "changed": {}, "edits": 1, "layer": 1}'
        )
    made = []
    monkeypatch.setattr(Preparation, "_background", lambda _: made.append("background.json"))
    results = preparation(folder).run()
    assert made == ["background.json"]
    assert [one.file for one in results if one.made] == made
    assert (folder / "prepared.md").read_text().startswith(f"# {folder}")
