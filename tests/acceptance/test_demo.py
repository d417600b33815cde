"""The demo end to end, small and in one process, on the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardedit.cli.main import app
from guardedit.evaluation.expected import Kind
from guardedit.evaluation.report import THRESHOLDS, reached


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    report = tmp_path_factory.mktemp("demo") / "demo.json"
    options = ["--corrections", "40", "--seed", "1", "--runtime", "local", "--no-unguarded"]
    done = CliRunner().invoke(app, ["demo", *options, "--report", str(report)])
    assert report.is_file(), done.output
    return done, report, json.loads(report.read_text())


def test_every_threshold_is_reported_and_the_exit_code_follows(demo):
    done, _, found = demo
    assert {threshold.name for threshold in THRESHOLDS} <= set(found)
    assert done.exit_code == (0 if reached(found) else 1)
    assert "exact_match" in done.output


def test_nothing_is_lost_or_applied_twice_and_every_line_has_its_fate(demo):
    _, _, found = demo
    assert found["finished"]
    assert sum(found["lines_by_kind"].values()) == 40
    assert set(found["lines_by_kind"]) == {kind.value for kind in Kind}
    assert (found["lost"], found["applied_twice"]) == (0, 0)
    assert found["unexpected_fates"] <= 1 / 40


def test_no_disabling_edit_is_ever_served(demo):
    _, _, found = demo
    assert found["disabling_injected"] >= 10
    assert found["disabling_served"] == 0
    assert found["disabling_mined"] + found["disabling_poisoned"] == found["disabling_injected"]


def test_every_way_back_gives_the_same_bytes(demo):
    _, _, found = demo
    assert [check for check in found["hashes"] if not check["equal"]] == []
    assert len(found["hashes"]) >= 12
    assert found["ledger_problems"] == []


def test_facts_are_answered_and_the_rest_is_left_alone(demo):
    _, _, found = demo
    assert found["exact_match"] >= 0.9
    assert found["locality_other_subject"] >= 0.97
    assert found["perplexity_ratio"] <= 1.03
    assert found["gone"] >= 0.75


def test_a_picture_lies_beside_the_report(demo):
    _, report, found = demo
    picture: Path = report.with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {point["mark"] for point in found["epochs"]} == {"", "accepted", "rejected", "rolled_back"}
