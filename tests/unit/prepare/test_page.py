from __future__ import annotations

import json
import math

import pytest

from guardedit.prepare.page import page

CHECKED = {
    "efficacy": 1.0, "unseen": 0.84, "neighbours": 0.94, "same_subject": math.nan,
    "perplexity_ratio": 1.005, "seconds_per_edit": 2.6, "edits": 16,
}  # fmt: skip


def test_a_folder_with_nothing_says_what_is_missing(tmp_path) -> None:
    text = page(tmp_path, "mine")
    assert text.startswith("# mine\n")
    for sentence in ("Not searched yet", "Not built yet", "Not tuned yet", "Not measured yet"):
        assert sentence in text


def test_it_says_what_was_found_and_what_to_expect(tmp_path) -> None:
    card = {
        "layer": 3,
        "layers": [2, 3, 4],
        "dials": {"joint": {"steps": 9, "ends_answer": False}},
        "about": {"checked": CHECKED},
    }
    (tmp_path / "edit_card.json").write_text(json.dumps(card))
    noise = {"edits": 4, "asked": {"other_subject": 80}, "changed": {"other_subject": 2}}
    (tmp_path / "noise.json").write_text(json.dumps(noise))
    text = page(tmp_path, "mine")
    assert "layers 2 to 4; changed settings: steps 9, ends_answer off." in text
    assert "own prompts 1.00, other wordings 0.84" in text
    assert "same subject not asked" in text
    assert "2.6 s for each edit" in text
    # Half a percent for 16 edits: 64 edits cost 2 %.
    assert "about 64 edits raise perplexity by 2 % (extrapolated from 16)" in text
    assert "- other_subject: 2 of 80" in text


@pytest.mark.parametrize(
    ("ratio", "says"), [(0.999, "by nothing that could be measured"), (None, "was not measured")]
)
def test_without_a_rise_of_perplexity_nothing_is_extrapolated(tmp_path, ratio, says) -> None:
    card = {"layer": 3, "layers": [3], "about": {"checked": {**CHECKED, "perplexity_ratio": ratio}}}
    (tmp_path / "edit_card.json").write_text(json.dumps(card))
    assert says in page(tmp_path, "mine")
