from __future__ import annotations

from guardedit.editing.registry import METHODS


def test_every_registered_method_is_listed_with_its_card(guardedit):
    listed = {row["method"]: row for row in guardedit("editors", "list", "--output", "json").json}

    assert set(listed) == set(METHODS)
    assert listed["rome"]["undo"] == "in order"
    assert listed["ridge"]["stored"] == "key and residual of one layer"


def test_a_method_is_described_with_its_deviations_and_the_policys_settings(guardedit):
    result = guardedit("editors", "describe", "rome")
    assert "relative to the value's norm" in result.out
    assert any(line.split() == ["background_weight", "1000"] for line in result.lines)

    whole = guardedit("editors", "describe", "rome", "--output", "json").json
    assert whole["dials"]["background_weight"] == 1000.0
    assert "rank-one" in whole["about"]


def test_for_an_unknown_method_the_nearest_name_is_suggested(guardedit):
    result = guardedit("editors", "describe", "romee")
    assert (result.code, "did you mean 'rome'" in result.err) == (2, True)
