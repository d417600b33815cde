"""Stores: what they hold, and that no other fact of a store answers a row's question."""

from __future__ import annotations

import pytest

from guardedit.core.fact import Fact
from guardedit.core.serving import Recall, ScopedFact
from guardedit.lab.scope.rows import ScopeRow, stated
from guardedit.lab.scope.stores import Found, ask, batches_of, groups_of, usable_fillers


def with_fact(scope: str, fact: Fact) -> Recall:
    return Recall(scope=scope, score=0.5, found=(ScopedFact(fact=fact, scope=scope, score=0.5),))


def fact(subject, relation="P6", target="Ada"):
    return stated(subject, "The mayor of {} is", target, relation)


def row(question, *facts, wanted=0, kind="k"):
    return ScopeRow(kind=kind, source="s", facts=facts, question=question, wanted=wanted)


class Recorder:
    """Recalls the first fact whose subject is in the question, and records what it held."""

    def __init__(self):
        self.held = []

    def replace_facts(self, facts):
        self.held.append(list(facts))
        return ""

    def recall(self, questions):
        return [
            next(
                (with_fact("unsure", f) for f in self.held[-1] if f.key.subject in q),
                Recall(scope="out"),
            )
            for q in questions
        ]


FILLERS = [fact(f"Town{n}") for n in range(100)]


def test_a_store_has_the_size_that_is_asked_for():
    rows = [row(f"Who runs City{n}?", fact(f"City{n}")) for n in range(25)]
    memory = Recorder()
    found = list(ask(memory, rows, FILLERS, 10))

    assert [len(held) for held in memory.held] == [10] * 5
    assert all(one.given and not one.wrong and one.size == 10 for one in found)
    assert {one.row.question for one in found} == {one.question for one in rows}


def test_in_a_store_of_one_a_row_is_alone_with_its_facts():
    pair = (fact("City0"), fact("City0", "P17"))
    memory = Recorder()
    list(ask(memory, [row("City0?", *pair), row("City1?", fact("City1"))], FILLERS, 1))

    assert memory.held == [list(pair), [fact("City1")]]


def test_rows_with_the_same_facts_share_them():
    one = fact("City0")
    groups = groups_of([row("City0?", one), row("Who runs City0?", one), row("City1?", fact("City1"))])
    assert [len(group.rows) for group in groups] == [2, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row("City0?", fact("City0")), row("city0?", fact("CITY0", "P17"))),  # the same subject
        (row("Is City1 near City0?", fact("City1")), row("City0?", fact("City0"))),  # named in a question
        (row("Who is Lund?", fact("Ada Lund")), row("Kim Lund?", fact("Kim Lund"))),  # meant by a surname
    ],
)
def test_rows_that_could_answer_each_other_are_not_in_one_store(first, second):
    for rows in ((first, second), (second, first)):
        assert len(batches_of(groups_of(rows), 10)) == 2


def test_rows_with_other_subjects_are_in_one_store():
    rows = [row("Ada Lund?", fact("Ada Lund")), row("Kim Lund?", fact("Kim Lund"))]  # both spelled out
    assert len(batches_of(groups_of(rows), 10)) == 1


def test_a_filler_that_a_question_could_be_about_is_left_out():
    rows = [
        row("Who owns Meta Labs?", fact("Meta"), wanted=None),
        row("When was Freud born?", fact("Sigmund Freud")),
    ]
    names = ["Meta Labs", "META", "Lucian Freud", "Oslo", "oslo", "Freudenstadt"]

    usable = [one.key.subject for one in usable_fillers(rows, map(fact, names))]
    assert usable == ["Oslo", "Freudenstadt"]


def test_what_is_given_and_what_is_wrong():
    wanted, other = fact("City0"), fact("City1")
    asked, nothing = row("City0?", wanted), row("Snow?", wanted, wanted=None)

    def found(one, recall):
        return Found(one, 1, recall)

    assert not found(asked, Recall(scope="out")).given
    assert found(asked, with_fact("unsure", wanted)).given
    assert not found(asked, with_fact("accept", wanted)).wrong
    assert found(asked, with_fact("accept", other)).wrong
    assert found(nothing, with_fact("accept", wanted)).wrong
