from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from guardedit.editing.registry import Registry
from guardedit.lab.editors import growth
from guardedit.lab.editors.speed import compare_speed, matrix_rate, measure
from guardedit.lab.editors.time_shares import PARTS, time_shares
from guardedit.models.text.tokens import encode


@pytest.fixture(scope="module", autouse=True)
def _hasty():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guardedit.lab.editors.plain.STEPS", 2)
        yield


@pytest.fixture(scope="module")
def hasty(setup):
    return replace(setup, joint=replace(setup.joint, steps=2))


@pytest.fixture(scope="module")
def found(hasty, cases):
    return compare_speed(hasty, Registry().build("joint", hasty), cases, batch=3, plain=1)


def test_the_default_editor_does_less_than_the_plain_mode_in_less_time(found):
    assert found["gigaflops_per_edit"] < found["plain"]["gigaflops_per_edit"] / 2
    assert found["ratio"] == pytest.approx(found["edits_per_second"] / found["plain"]["edits_per_second"])
    assert found["ratio"] > 1


def test_the_floor_is_the_operations_over_the_matrix_rate(found):
    for column, edits in ((found, 3), (found["plain"], 1)):
        operations = column["gigaflops_per_edit"] * edits
        assert column["floor_seconds"] == pytest.approx(operations / found["matrix_gigaflops_per_second"])
        assert column["floor_share"] == pytest.approx(column["floor_seconds"] / column["seconds"])


def test_operations_are_those_of_the_edits_and_not_of_preparing_the_editor(hasty, cases):
    editor = Registry().build("joint", hasty)
    first, again = (measure(hasty, editor, cases[:3], rate=1e9) for _ in range(2))
    assert first.gigaflops_per_edit == pytest.approx(again.gigaflops_per_edit, rel=0.01)


def test_the_shares_of_the_time_sum_to_one(found):
    assert set(found["where"]) == {*PARTS, "rest"}
    assert sum(found["where"].values()) == pytest.approx(1)
    assert min(found["where"]["steps, forward"], found["where"]["steps, backward"]) > 0.02


def test_time_in_no_part_is_the_rest():
    assert time_shares(lambda: sum(range(1000)))["rest"] == pytest.approx(1)


def part_of_the_work():
    time.sleep(0.1)


class Inner:
    def forward(self):
        part_of_the_work()


class Outer:
    def forward(self):
        Inner().forward()


def test_calls_of_one_name_inside_each_other_do_not_make_the_whole_longer():
    # Counted twice, the whole would be two times 0.1 s and the part a half.
    assert time_shares(Outer().forward, {"part": (part_of_the_work,)})["part"] > 0.9


def test_the_matrix_rate_is_that_of_a_machine():
    assert 1e8 < matrix_rate(64, 64, 64) < 1e15


@pytest.fixture(scope="module")
def grown(hasty, cases):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "COUNTED", 1)
        return list(growth.with_batch(hasty, cases, [1, 2, 400]))


def test_growth_says_what_varied_and_leaves_out_batches_there_are_no_facts_for(grown):
    assert [(one.varied, one.at) for one in grown] == [("batch", 1), ("batch", 2)]
    assert all(one.ratio > 0 for one in grown)


def test_operations_are_not_counted_where_that_would_take_longest(grown):
    one, two = grown
    assert 0 < one.gigaflops_per_edit < math.inf
    assert math.isnan(two.gigaflops_per_edit)


def test_a_wider_model_costs_more_an_edit(hasty, cases, monkeypatch):
    monkeypatch.setattr(growth, "BATCH", 2)
    narrow, wide = growth.with_width(hasty, cases, [16, 64])
    assert wide.gigaflops_per_edit > 2 * narrow.gigaflops_per_edit


def test_any_width_is_split_into_heads(setup):
    model = growth.random_model(setup, 200).host.model
    assert (model.config.n_embd, model.config.n_head) == (200, 2)


def test_a_model_of_a_width_has_it_and_is_the_same_every_time(setup):
    first, second = (growth.random_model(setup, 16).host for _ in range(2))
    assert first.base_matrix(0).shape == (16, 64)
    assert first.base_sha256 == second.base_sha256


def test_a_longer_case_asks_the_same_behind_so_many_tokens(setup, cases):
    long = growth.with_prefix(setup.host, cases[0], 40)
    for before, after in zip(cases[0].fact.wordings, long.fact.wordings, strict=True):
        assert after.endswith(before)
        added = len(encode(setup.host.tokenizer, after)) - len(encode(setup.host.tokenizer, before))
        assert 38 <= added < 60


def test_nothing_asked_for_is_nothing_measured(hasty):
    assert not [*growth.with_batch(hasty, [], []), *growth.with_width(hasty, [], [])]
