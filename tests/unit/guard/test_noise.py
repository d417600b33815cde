"""The noise of a model is counted per gate, by questions, and read strictly."""

from __future__ import annotations

import json

import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import NOISE_FILE, Noise

NOISE = Noise(
    changed={"other_subject": 12, "earlier": 0},
    asked={"other_subject": 480, "earlier": 40},
    edits=4,
    seeds=(0,),
)


def test_a_share_is_of_answers_and_its_sample_of_questions():
    found = NOISE.of("other_subject")
    assert (found.share, found.questions) == (0.025, 120.0)
    assert NOISE.of("other_subject_to_base") == found
    assert NOISE.of("earlier").share == 0.0
    assert NOISE.of("earlier").questions == 10.0
    assert NOISE.of("reliability").questions == 0.0


def test_a_gate_of_its_own_counts_is_not_given_those_of_another():
    own = Noise(
        changed={"other_subject_to_base": 1},
        asked={"other_subject": 10, "other_subject_to_base": 10},
        edits=1,
    )
    assert own.of("other_subject_to_base").share == 0.1
    assert own.of("other_subject").share == 0.0


def test_a_file_is_read_back_and_a_missing_or_empty_one_is_no_noise(tmp_path):
    assert Noise.load(tmp_path) == Noise()
    path = tmp_path / NOISE_FILE
    path.write_text(json.dumps(NOISE.to_json()))
    assert Noise.load(tmp_path) == NOISE
    path.write_text("null")
    assert Noise.load(tmp_path) == Noise()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "cannot read"),
        ("[]", "measure it with"),
        ('{"changed": {}, "asked": {}}', "'edits'"),
        ('{"changed": {"earlier": 3}, "asked": {"earlier": 2}, "edits": 1}', "3 of 2 answers changed"),
        ('{"changed": {"earlier": -1}, "asked": {"earlier": 2}, "edits": 1}', "-1 of 2"),
        ('{"changed": {"earlier": 1}, "asked": {"earlier": 2}, "edits": 0}', "after 0 edits"),
        ('{"changed": {"earlier": 1.5}, "asked": {"earlier": 2}, "edits": 1}', "no whole number"),
        ('{"changed": {"earlier": true}, "asked": {"earlier": 2}, "edits": 1}', "no whole number"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, body, message):
    (tmp_path / NOISE_FILE).write_text(body)
    with pytest.raises(GuardError, match=message):
        Noise.load(tmp_path)
