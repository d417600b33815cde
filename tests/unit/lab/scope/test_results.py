"""Counting mistakes, and the threshold of the baseline."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace

import pytest

from guardedit.core.serving import Recall, ScopedFact
from guardedit.lab.field.intervals import wilson
from guardedit.lab.scope.kinds import Mistake
from guardedit.lab.scope.picture import calibration_error, draw_reliability, reliability
from guardedit.lab.scope.report import comparison, numbers, table_of
from guardedit.lab.scope.results import lines_of
from guardedit.lab.scope.rows import ScopeRow, stated
from guardedit.lab.scope.run import WayFound
from guardedit.lab.scope.stores import Found
from guardedit.lab.scope.ways import best_threshold, thresholded

A, B = (stated(name, "The mayor of {} is", "Ada", "P6") for name in ("Oslo", "Bergen"))
OUT = Recall(scope="out", score=0.1)


def found(kind, fact, *, wanted=True, size=1, score=0.9, subject=A):
    row = ScopeRow(
        kind=kind,
        source="s",
        facts=(subject,),
        question=f"{subject.key.subject}?",
        wanted=0 if wanted else None,
    )
    held = () if fact is None else (ScopedFact(fact=fact, scope="unsure", score=score),)
    recall = Recall(scope="unsure" if held else "out", score=score, found=held)
    return Found(row, size, recall)


def test_a_line_counts_what_its_goal_is_about():
    rows = [found("typography", f) for f in (A, A, None, B)]
    rows += [found("other_time", f, wanted=False) for f in (A, None, None)]
    rows += [found("many_facts", f) for f in (A, None, B)]
    lines = {line.key.kind: line for line in lines_of(rows)}

    assert lines["typography"].mistake is Mistake.OUT
    assert lines["typography"].worst == (1, 4)
    assert lines["typography"].worst_wrong == (1, 4)
    assert lines["other_time"].worst == (1, 3)
    assert lines["many_facts"].mistake is Mistake.WRONG
    assert lines["many_facts"].worst == (1, 3)
    assert lines["typography"].worst.interval == wilson(1, 4)


def test_a_goal_is_met_only_in_every_store():
    rows = [found("own_prompt", A, size=1), found("own_prompt", None, size=10)]
    (line,) = lines_of(rows)

    assert (line.met, line.worst) == (False, (1, 1))
    assert lines_of(rows[:1])[0].met is True
    assert lines_of([found("near_name", None, wanted=False)])[0].met is None


def test_unknown_kinds_come_last():
    rows = [found("of my own", A), found("typography", A), found("own_prompt", A)]
    assert [line.key.kind for line in lines_of(rows)] == ["own_prompt", "typography", "of my own"]


def test_the_best_threshold_is_balanced():
    rows = [found("k", A, score=score) for score in (0.6, 0.7, 0.8)]
    rows += [found("k", A, wanted=False, score=score) for score in (0.1, 0.2, 0.65)]
    rows += [found("k", A, wanted=False, score=0.62)]
    assert best_threshold(rows) == 0.7  # 2 of 3 are given, 4 of 4 are not; at 0.6 it is 3 of 3 and 2 of 4
    assert best_threshold([]) == math.inf


def test_no_row_is_judged_with_a_threshold_that_was_chosen_on_it():
    subjects = [stated(f"Town{n}", "The mayor of {} is", "Ada", "P6") for n in range(40)]
    rows = [found("k", one, score=0.5, subject=one) for one in subjects]
    rows += [found("k", one, wanted=False, score=0.4, subject=one) for one in subjects]
    judged, thresholds = thresholded(rows)
    assert thresholds == (0.5, 0.5)
    assert [one.given for one in judged] == [True] * 40 + [False] * 40

    part = {one.row.question: zlib.crc32(one.row.facts[0].key.subject.encode()) % 2 for one in rows}
    lower = [one if part[one.row.question] else _minus(one, 0.3) for one in rows]
    judged, thresholds = thresholded(lower)
    assert thresholds == (0.5, pytest.approx(0.2))  # each from the other part
    assert all(one.given for one in judged if part[one.row.question])
    assert not any(one.given for one in judged if not part[one.row.question])


def _minus(one, less):
    return one._replace(recall=replace(one.recall, score=one.recall.score - less))


def test_the_bins_count_every_question_once():
    rows = [found("k", A, score=score) for score in (0.0, 0.05, 0.95, 1.0)]
    rows += [
        found("k", A, wanted=False, score=0.95),
        found("k", B, score=0.5),
        found("k", None, score=math.nan),
    ]
    bins = reliability(rows)

    assert sum(one.right.rows for one in bins) == 7
    assert bins[-1].right == (2, 3)
    assert bins[5].right == (0, 1)


def test_calibrated_scores_have_no_error(tmp_path):
    rows = [found("k", A, score=0.75), found("k", A, score=0.75), found("k", A, score=0.75)]
    rows += [found("k", A, wanted=False, score=0.75)]
    assert calibration_error(reliability(rows)) == 0
    draw_reliability(tmp_path / "scores.png", {"features": rows}, title="scores")
    assert (tmp_path / "scores.png").read_bytes()[:4] == b"\x89PNG"


def test_the_tables_and_the_json_data_have_the_same_numbers():
    rows = [found("typography", A, size=1), found("typography", None, size=1000)]
    way = WayFound(name="features", found=rows, lines=lines_of(rows))
    (shown,) = table_of(way, (1, 1000))
    (line,) = numbers([way], [one.row for one in rows], (1, 1000))["ways"][0]["lines"]

    assert (shown["1"], shown["1,000"], shown["goal"], shown[""]) == ("0.000", "1.000", "<= 0", "missed")
    assert [store["share"] for store in line["stores"]] == [0, 1]
    assert line["met"] is False
    assert comparison([way])[0]["features"].startswith("1.000 [")
