"""`guardedit bench trial` and `bench edit` on the embedded model, with few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def hasty(monkeypatch, tmp_path):
    """A policy whose edits take two steps."""
    path = tmp_path / "hasty.yaml"
    text = (ROOT / "policies" / "default.yaml").read_text()
    path.write_text(text.replace("  method: joint\n", "  method: joint\n  steps: 2\n"))
    assert "steps: 2" in path.read_text()
    monkeypatch.setattr("guardedit.lab.editors.plain.STEPS", 2)
    return ["--policy", path]


def test_a_trial_is_measured_by_part_beside_the_plain_one(guardedit, warm_home):
    result = guardedit("bench", "trial", "--home", warm_home, "--batch", 2, "--sample", 8, "--output", "json")
    found = result.json
    assert 0 < found["edits"] <= 2
    assert found["ratio"] == pytest.approx(found["plain"] / found["next"])
    assert found["ratio"] > 1  # the savings save
    assert found["share"] == pytest.approx(found["next"] / (found["propose"] + found["next"]))
    assert set(found["parts"]) == {"texts", "spans", "generation", "fold", "rest"}
    assert sum(found["parts"].values()) == pytest.approx(1)


def test_edits_are_measured_beside_the_plain_mode(guardedit, hasty, warm_home):
    result = guardedit("bench", "edit", *hasty, "--home", warm_home, "--batch", 2, "--plain", 1)
    assert "seconds_per_edit" in result.out
    assert "floor_share" in result.out
    assert "times as many edits per second as its plain mode" in result.out
