"""What a card may contain, and the errors for other contents."""

from __future__ import annotations

import json
import math

import pytest

from guardedit.core.errors import UsageError
from guardedit.editing.edit_card import CardSettings, EditCard, parse_card

CARD = EditCard(
    base_sha256="ab" * 32,
    layer=3,
    layers=(2, 3, 4),
    settings=CardSettings(edit={"steps": 40, "ridge": 0.05}, joint={"background_price": 65.0}),
    about={"method": "joint"},
    sweep=({"layers": [3], "merit": 0.75}, {"layers": [4], "merit": None}),
)


def test_a_card_written_is_the_card_read():
    assert parse_card(CARD.text, "card") == CARD
    assert len(CARD.text.splitlines()) == 11  # a row a line


def test_a_layer_is_all_that_a_hand_written_card_needs():
    assert parse_card('{"layer": 5}', "card") == EditCard(layer=5, layers=(5,))
    assert parse_card('{"layer": 5, "layers": [6, 4, 5]}', "card").layers == (4, 5, 6)


def test_what_is_not_a_number_is_written_as_null():
    card = EditCard(layer=0, layers=(0,), about={"rank_correlation": math.nan})
    assert json.loads(card.text)["about"] == {"rank_correlation": None}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no", "not JSON"),
        ("[5]", "an object"),
        ("{}", '"layer" is the layer'),
        ('{"layer": true}', '"layer" is the layer'),
        ('{"layer": -1}', '"layer" is the layer'),
        (
            '{"layer": 5, "layer_s": [5]}',
            "unknown 'layer_s'; known: layer, layers",
        ),
        ('{"layer": 5, "layers": []}', '"layers" is a list'),
        ('{"layer": 5, "layers": [5, "6"]}', '"layers" is a list'),
        ('{"layer": 5, "base_sha256": 7}', "digest of the base model"),
        ('{"layer": 5, "dials": {"all": {}}}', "unknown 'all' in 'dials'; known: edit, joint"),
        (
            '{"layer": 5, "dials": {"joint": {"clamp_ratio": 4}}}',
            "unknown 'clamp_ratio' in 'joint'; known: learning",
        ),
        (
            '{"layer": 5, "dials": {"edit": {"steps": 4.5}}}',
            "edit.steps: Input should be a valid integer, got 4.5",
        ),
        (
            '{"layer": 5, "dials": {"edit": {"steps": 0}}}',
            "edit.steps: Input should be greater than 0, got 0",
        ),
        (
            '{"layer": 5, "dials": {"edit": {"ridge": -0.1}}}',
            "edit.ridge: Input should be greater than or equal",
        ),
        ('{"layer": 5, "dials": {"edit": {"ridge": NaN}}}', "edit.ridge: Input should be a finite number"),
        (
            '{"layer": 5, "dials": {"edit": {"norm_anchored": 1}}}',
            "edit.norm_anchored: Input should be a valid boolean",
        ),
        ('{"layer": 5, "sweep": {}}', '"sweep" is a list'),
    ],
)
def test_a_card_that_is_none_is_refused_with_its_name_and_the_reason(text, says):
    with pytest.raises(UsageError) as refusal:
        parse_card(text, "here/edit_card.json")
    assert str(refusal.value).startswith("here/edit_card.json is not an edit card")
    assert says in str(refusal.value)
