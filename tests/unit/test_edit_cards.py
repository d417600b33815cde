"""Which card is in force, and who has the last word: policy, card, the dials' own defaults."""

from __future__ import annotations

import pytest

from guardedit import assembly
from guardedit.assembly.edit_cards import editing_sha256, joint_settings
from guardedit.core.errors import PolicyError, StorageFull, UsageError
from guardedit.editing.edit_card import CardSettings, EditCard
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.settings import Settings

BASE, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def beside(tmp_path) -> Settings:
    """A model's folder that holds nothing yet, and a home folder beside it."""
    return Settings(home=tmp_path / "home", model=str(tmp_path), metrics=None)


@pytest.fixture
def in_folder(tmp_path):
    return (tmp_path / assembly.EDIT_CARD).write_text


def with_dials(policy, **dials):
    return policy.model_copy(update={"editing": policy.editing.model_copy(update=dials)})


def test_the_sweeps_card_goes_before_the_folders(beside, in_folder):
    assert assembly.find_card(beside, BASE) is None
    in_folder('{"layer": 5, "layers": [4, 5, 6]}')
    assert assembly.find_card(beside, BASE) == EditCard(layer=5, layers=(4, 5, 6))

    written = assembly.write_card(beside, EditCard(base_sha256=BASE, layer=2, layers=(2,)))

    assert written == assembly.card_file(beside, BASE)
    assert assembly.find_card(beside, BASE).layer == 2
    assert assembly.find_card(beside, OTHER).layer == 5  # another model has no card of its own here
    assert [path.name for path in written.parent.iterdir()] == [f"{BASE}.json"]


def test_a_card_of_another_model_is_an_error_that_says_so(beside, in_folder):
    in_folder(EditCard(base_sha256=OTHER, layer=5, layers=(5,)).text)
    with pytest.raises(UsageError, match=r"edit_card\.json is the edit card of another model, cdcdcd"):
        assembly.find_card(beside, BASE)

    assembly.write_card(beside, EditCard(base_sha256=BASE, layer=2, layers=(2,))).rename(
        assembly.card_file(beside, OTHER)
    )
    with pytest.raises(UsageError, match="of another model, ababab"):
        assembly.find_card(beside, OTHER)


def test_a_card_that_cannot_be_read_or_kept_is_told(beside, in_folder, tmp_path):
    in_folder("no")
    with pytest.raises(UsageError, match=r"edit_card\.json is not an edit card"):
        assembly.find_card(beside, BASE)
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(StorageFull, match="cannot write"):
        assembly.write_card(beside, EditCard(base_sha256=BASE, layer=2, layers=(2,)))
    with pytest.raises(UsageError, match="has no base_sha256"):
        assembly.write_card(beside, EditCard(layer=2, layers=(2,)))


def test_the_layer_is_the_policys_else_the_cards(beside, policy):
    card = EditCard(layer=5, layers=(5,))
    with pytest.raises(PolicyError, match=r"set editing\.layer, or let `guardedit locate sweep`"):
        assembly.edit_layer(policy, beside, None)
    assert assembly.edit_layer(policy, beside, card) == 5
    assert assembly.edit_layer(with_dials(policy, layer=2), beside, card) == 2


def test_a_dial_is_the_policys_else_the_cards_else_its_default(policy):
    chosen = CardSettings(edit={"steps": 7, "ridge": 0.5}, joint={"steps": 9, "together": 4})
    card = EditCard(layer=5, layers=(5,), settings=chosen)
    strict = with_dials(policy, steps=3)

    assert assembly.edit_settings(policy) == EditSettings()
    assert assembly.edit_settings(policy, card) == EditSettings(steps=7, ridge=0.5)
    assert assembly.edit_settings(strict, card) == EditSettings(steps=3, ridge=0.5)
    assert joint_settings(policy, card) == JointSettings(steps=9, together=4)
    assert joint_settings(strict, card) == JointSettings(steps=3, together=4)
    assert assembly.policy_settings(strict, EditSettings) == {"steps": 3}


def test_edits_made_otherwise_have_another_digest(beside, policy):
    plain = EditCard(layer=5, layers=(5,))
    same = EditCard(layer=5, layers=(5,), about={"seed": 1}, sweep=({"layers": [5]},))
    others = [
        EditCard(layer=4, layers=(5,)),
        EditCard(layer=5, layers=(4, 5)),
        EditCard(layer=5, layers=(5,), settings=CardSettings(edit={"steps": 7})),
        EditCard(layer=5, layers=(5,), settings=CardSettings(joint={"steps": 7})),
    ]
    digests = [editing_sha256(policy, beside, card) for card in (plain, same, *others)]
    assert digests[0] == digests[1]
    assert len({*digests}) == 1 + len(others)
