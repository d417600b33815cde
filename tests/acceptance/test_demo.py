"""The demo end to end, small and in one process, on the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardedit.cli.main import app
from guardedit.demo.report import THRESHOLDS, reached
from guardedit.demo.stream.expected import LineKind


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    report = tmp_path_factory.mktemp("demo") / "demo.json"
    options = ["--corrections", "40", "--seed", "1", "--runtime", "local"]
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
    assert set(found["lines_by_kind"]) == {kind.value for kind in LineKind}
    assert (found["lost"], found["applied_twice"]) == (0, 0)
    assert found["unexpected_fates"] <= 1 / 40


def test_disabling_lines_are_measured_apart_from_the_guard(demo):
    done, _, found = demo
    rule = found["disabling_rule"]
    lines = found["disabling"]
    ruinous = [row for row in lines if row["disabling"]]
    assert found["disabling_injected"] == len(ruinous) >= 10
    assert all(
        row["perplexity_ratio"] is None  # beyond numbers
        or row["perplexity_ratio"] >= rule["perplexity_ratio"]
        or row["answers_lost"] >= rule["answers_lost"]
        for row in ruinous
    )
    assert sum(row["kind"] == "rome" for row in ruinous) >= 4
    assert all(row["problem"] for row in lines if not row["disabling"])
    assert found["disabling_mined"] + found["disabling_poisoned"] == len(lines)
    assert all(row["prompt"] in done.output for row in lines)


def test_no_disabling_edit_is_ever_served_and_without_the_guard_one_is(demo):
    _, _, found = demo
    assert (found["disabling_served"], found["disabling_promoted"]) == (0, 0)
    assert all(row["kept_out"] for row in found["disabling"])
    off = found["guard_off"]
    assert off["disabling_served"] >= 1
    assert off["disabling_promoted"] >= 1
    assert off["gone"]
    assert found["original_rome"]["perplexity_ratio"] > 1.5


def test_placements_add_up_and_stand_beside_memory_alone(demo):
    _, _, found = demo
    places, alone = found["by_placement"], found["memory_alone"]["by_placement"]
    assert places["memory"]["facts"] + places["weights"]["facts"] == places["all"]["facts"]
    assert places["all"]["exact_match"] == found["exact_match"]
    assert places["all"]["paraphrase"] == found["paraphrase"]
    assert {name: row["facts"] for name, row in alone.items()} == {
        name: row["facts"] for name, row in places.items()
    }
    assert alone["all"]["exact_match"] >= 0.9


def test_time_is_told(demo):
    _, _, found = demo
    assert 0.0 < found["live_p50_s"] <= found["live_p99_s"] <= found["live_longest_s"] < found["seconds"]
    assert 0.0 < found["guard_seconds"] < found["seconds"]
    assert found["seconds_without_guard"] == pytest.approx(found["seconds"] - found["guard_seconds"])
    assert all(found[name]["seconds"] > 0 for name in ("guard_off", "original_rome", "memory_alone"))


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
