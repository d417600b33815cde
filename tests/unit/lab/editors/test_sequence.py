from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.lab.editors.alone import edit_alone
from guardedit.lab.editors.sequence import edit_in_sequence


def ids(cases):
    return [case.fact.id for case in cases]


def test_batches_end_at_checkpoints_and_earlier_edits_are_live(cases, examiner, idle):
    editor = idle()

    points = list(edit_in_sequence(editor, cases, examiner, batch=2, checkpoints=(1, 4)))

    a, b, c, d = ids(cases)
    assert editor.asked == [([a], []), ([b, c], [a]), ([d], [a, b, c])]
    assert [point.edits for point in points] == [1, 4]
    last = points[-1]
    assert last.perplexity_ratio == pytest.approx(1.0)
    assert (last.retention, last.newest, last.refused) == (0.0, 0.0, 0)
    assert last.seconds_per_edit == 0.5
    assert last.counts.share("locality") == 1.0


def test_a_second_fact_of_a_subject_is_edited_together_with_the_first(cases, examiner, idle):
    first, other = cases[:2]
    key = first.fact.key._replace(relation="another")
    second = replace(first, fact=replace(first.fact, key=key, wordings=(f"{first.fact.prompt} not",)))
    editor = idle()

    (point,) = edit_in_sequence(editor, [first, other, second], examiner, batch=1, checkpoints=(3,))

    assert editor.asked[-1] == (ids([first, second]), ids([other]))
    assert point.refused == 0


def test_a_subject_that_is_refused_keeps_the_edit_it_has(cases, examiner, idle):
    first = cases[0]
    key = first.fact.key._replace(relation="another")
    second = replace(first, fact=replace(first.fact, key=key))
    editor = idle()
    run = edit_in_sequence(editor, [first, second], examiner, batch=1, checkpoints=(1, 2))

    next(run)
    editor.refuses.add(first.fact.key.subject)
    point = next(run)

    assert point.refused == 1
    assert point.bytes_per_edit > 0


@pytest.mark.parametrize("at_once", [True, False])
def test_an_edit_alone_has_nothing_beside_it(cases, examiner, idle, at_once):
    editor = idle(refuses=[cases[0].fact.key.subject])
    seen = []

    found = edit_alone(editor, cases[:3], examiner, at_once=at_once, tell=seen.append)

    assert [live for _, live in editor.asked] == [[]] * (1 if at_once else 3)
    assert (found.edits, found.refused, found.seconds_per_edit) == (3, 1, 0.5)
    assert list(found.reasons) == ids(cases[:1])
    assert found.perplexity_ratio == pytest.approx(1.0)
    assert found.counts.asked["reliability"] == 3
    assert seen == [1, 2, 3]
