from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.probe import Question, QuestionKind
from guardedit.editing.registry import METHODS, Registry
from guardedit.lab.editors.compare import Plan, compare, without_test_questions
from guardedit.lab.editors.picture import draw_comparison
from guardedit.lab.editors.report import numbers, problems, sequence_table, single_table

TEXTS = ("The river runs through the old town.",)


@pytest.fixture(scope="module")
def found(setup, cases):
    registry = Registry({"ridge": METHODS["ridge"], "lost": "guardedit.nowhere:Lost"})
    plan = Plan(single=2, sequential=3, batch=2)
    return compare(setup, ["lost", "ridge"], cases, TEXTS, plan, registry=registry)


def test_a_method_that_works_is_measured_alone_and_in_sequence(found):
    ridge = found[1]
    assert ridge.problem == ""
    assert ridge.alone.counts.share("reliability") == 1.0
    assert ridge.alone.counts.share("locality") > 0.8
    assert 1.0 < ridge.alone.bytes_per_edit < 1e5
    assert [point.edits for point in ridge.points] == [1, 2, 3]
    assert ridge.points[-1].counts.share("reliability") > 0.6
    assert 0.9 < ridge.points[-1].perplexity_ratio < 1.1


def test_a_method_that_cannot_be_made_does_not_stop_the_others(found):
    assert [one.name for one in found] == ["lost", "ridge"]
    assert "cannot be loaded" in found[0].problem
    assert problems(found) == [f"lost: {found[0].problem}"]


def test_the_report_has_one_row_a_method_that_was_measured(found):
    (alone,), (last,) = single_table(found), sequence_table(found)
    assert alone["method"] == last["method"] == "ridge"
    assert last["edits"] == 3
    body = numbers(found)
    assert body[0]["single"] is None
    assert body[1]["single"]["asked"]["reliability"] == 2
    assert {"portability_alias", "capacity_ratio", "newest"} <= set(body[1]["sequence"][-1])


def test_the_picture_is_a_png_even_where_a_method_has_no_points(found, tmp_path):
    draw_comparison(tmp_path / "curves", found, title="two methods")
    draw_comparison(tmp_path / "empty", found[:1], title="none")
    for name in ("curves", "empty"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_method_that_has_wrecked_the_model_is_not_continued(setup, cases):
    plan = Plan(single=0, sequential=3, batch=1, collapsed=1e-9)
    (found,) = compare(setup, ["ridge"], cases, TEXTS, plan)
    assert [point.edits for point in found.points] == [1]
    assert found.problem.startswith("ended after 1 edits, at perplexity x")


def test_a_plan_asks_after_the_last_edit():
    assert Plan(sequential=6).asked_at == (1, 2, 4, 6)
    assert Plan(sequential=6, checkpoints=(9, 3)).asked_at == (3, 6)
    assert Plan(sequential=0).asked_at == ()


def test_methods_are_not_shown_what_is_asked(setup, cases):
    asked = cases[0].other_subject[0].subject
    known = [
        Question(prompt="p", kind=QuestionKind.OTHER_SUBJECT, expected="a", subject=name)
        for name in (asked, "Nobody")
    ]
    assert [q.subject for q in without_test_questions(replace(setup, known=tuple(known)), cases).known] == [
        "Nobody"
    ]
