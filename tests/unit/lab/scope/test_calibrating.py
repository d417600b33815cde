"""Bands chosen on labelled questions: what they promise, and that they hold."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from guardedit.core.errors import MemoryIndexError, UsageError
from guardedit.lab.field.intervals import clopper_pearson_high
from guardedit.lab.scope.calibrating import (
    ScoredRow,
    _cut,
    allowed,
    calibrate_bands,
    rows_needed,
    smallest_limit,
)
from guardedit.lab.scope.rows import ScopeRow, stated
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.scope.bands import ScopeBands, scope_sha256

FACT = stated("Oslo", "The mayor of {} is", "Ada Lund")
ROW = ScopeRow(kind="k", source="s", facts=(FACT,), question="?", wanted=None)


@pytest.mark.parametrize(("count", "asked"), [(0, 1), (0, 299), (3, 100), (50, 100), (99, 100)])
def test_the_upper_bound_is_exact(count, asked):
    scipy = pytest.importorskip("scipy.stats", reason="compares with scipy")
    assert clopper_pearson_high(count, asked) == pytest.approx(scipy.beta.ppf(0.95, count + 1, asked - count))


def test_a_bound_without_rows_or_misses_is_nan_or_one():
    assert clopper_pearson_high(0, 0) != clopper_pearson_high(0, 0)
    assert clopper_pearson_high(7, 7) == 1


@pytest.mark.parametrize("at_most", [0.5, 0.1, 0.05, 0.013, 0.01, 0.001])
def test_as_many_rows_as_are_needed_can_promise_the_limit(at_most):
    needed = rows_needed(at_most, 0.95)
    assert smallest_limit(needed, 0.95) <= at_most < smallest_limit(needed - 1, 0.95)
    assert (allowed(needed, at_most, 0.95), allowed(needed - 1, at_most, 0.95)) == (0, -1)


def test_no_row_promises_nothing():
    assert allowed(0, 0.5, 0.95) == -1


@pytest.mark.parametrize("size", [59, 181])  # with these the bound is nearly reached
def test_a_limit_holds_for_other_questions_with_its_confidence(size):
    """Of 1,000 samples, in about 5 % the share of all questions above the cut is above 5 %."""
    rng = random.Random(0)
    count, missed = allowed(size, 0.05, 0.95), 0
    for _ in range(1_000):
        cut = _cut([ScoredRow(ROW, rng.random(), right=False) for _ in range(size)], count)
        missed += 1 - cut > 0.05  # scores are uniform, so this is the share above the cut
    assert 30 <= missed <= 65


def rows_of(question, names, *, wanted):
    return [
        ScopeRow(
            kind="k",
            source="s",
            facts=(stated(name, "The mayor of {} is", "Ada Lund", "P6"),),
            question=question.replace("{}", name),
            wanted=0 if wanted else None,
        )
        for name in names
    ]


NAMES = [f"Town{chr(65 + n // 26)}{chr(97 + n % 26)}" for n in range(120)]
IN, BESIDE = "The mayor of {} is", "How many mayors has {} had?"


@pytest.fixture(scope="module")
def encoder():
    from guardedit.memory.encoder import SentenceEncoder

    return SentenceEncoder.load()


def test_the_bands_keep_the_questions_out_that_they_were_chosen_on(encoder):
    shipped = ScopeThresholds.load()
    rows = [*rows_of(IN, NAMES, wanted=True), *rows_of(BESIDE, NAMES, wanted=False)]
    found = calibrate_bands(encoder, shipped, None, rows, at_most=0.05, confidence=0.95)

    assert found.before == ((120, 120), (120, 120))  # all doubtful questions get the fact
    assert found.given.mistakes <= allowed(120, 0.05, 0.95)
    assert found.answered == (120, 120)
    assert shipped.reject < found.bands.unsure <= found.bands.accept
    assert (found.bands.out_of_scope_rows, found.bands.in_scope_rows) == (120, 120)


def test_rows_that_never_get_a_fact_leave_the_threshold_where_it_is(encoder):
    rows = [
        replace(row, question=f"How many strings has a harp, {n}?")
        for n, row in enumerate(rows_of(BESIDE, NAMES, wanted=False))
    ]
    found = calibrate_bands(encoder, ScopeThresholds.load(), None, rows, at_most=0.05, confidence=0.95)

    assert found.given == (0, 120)
    assert found.bands.unsure == ScopeThresholds.load().reject


def test_questions_that_always_get_a_fact_are_named(encoder):
    rows = rows_of(IN, NAMES, wanted=False)  # labelled wrongly
    always = replace(ScopeThresholds.load(), bias=60.0)  # every score is 1
    with pytest.raises(UsageError, match="check the labels of 'The mayor of Town"):
        calibrate_bands(encoder, always, None, rows, at_most=0.05, confidence=0.95)


def test_too_few_rows_are_told_what_they_allow():
    rows = rows_of(BESIDE, NAMES, wanted=False)
    with pytest.raises(
        UsageError, match=r"with 120 .* at 95% is 2\.47%: give at least 299 of them for 1\.00%"
    ):
        calibrate_bands(None, ScopeThresholds.load(), None, rows, at_most=0.01, confidence=0.95)


def bands(**changes):
    values = {
        "accept": 0.9,
        "unsure": 0.4,
        "at_most": 0.01,
        "confidence": 0.95,
        "out_of_scope_rows": 299,
        "in_scope_rows": 10,
        "rows_sha256": "r",
        "scope_sha256": scope_sha256(ScopeThresholds.load()),
    }
    return ScopeBands(**{**values, **changes})


def test_bands_are_read_as_they_were_written(tmp_path):
    (tmp_path / "bands.json").write_text(bands().to_text())
    found = ScopeBands.load(tmp_path / "bands.json")

    assert found == bands()
    changed = found.applied(ScopeThresholds.load())
    assert (changed.accept, changed.reject) == (0.9, 0.4)
    assert found.applied(changed) == changed  # the digest does not depend on the bands


@pytest.mark.parametrize("changes", [{"unsure": 0.95}, {"accept": 1.5}, {"unsure": float("nan")}])
def test_bands_in_the_wrong_order_are_refused(changes):
    with pytest.raises(MemoryIndexError, match="bands need 0 <= unsure <= accept <= 1"):
        bands(**changes)


def test_bands_of_another_scope_test_are_refused():
    with pytest.raises(MemoryIndexError, match="choose them again"):
        bands(scope_sha256="other").applied(ScopeThresholds.load())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"accept": "x"}', "9" * 5_000])
def test_a_file_without_bands_is_refused(tmp_path, text):
    (tmp_path / "bands.json").write_text(text)
    with pytest.raises(MemoryIndexError, match="write them with `guardedit memory calibrate`"):
        ScopeBands.load(tmp_path / "bands.json")
    with pytest.raises(MemoryIndexError, match="cannot be read"):
        ScopeBands.load(tmp_path / "none")
