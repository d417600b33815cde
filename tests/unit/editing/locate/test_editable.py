from __future__ import annotations

from dataclasses import replace

from guardedit.core.errors import EditDiverged
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.editable import editable, found_values, merged_by_subject


def test_groups_of_one_subject_become_one_where_the_first_stood(make_fact):
    one, two, other = (
        make_fact("Oslo", "{} speaks", target="Polish"),
        make_fact("Oslo", "The city of {} is", target="Lima"),
        make_fact("Peru", "{} speaks", target="Norwegian"),
    )
    kept = [Question(prompt=text, kind=QuestionKind.SAME_SUBJECT) for text in ("Oslo is in", "Oslo likes")]
    groups = [
        SubjectGroup(subject="Oslo", facts=(one,), keep=(kept[0],)),
        SubjectGroup(subject="Peru", facts=(other,)),
        SubjectGroup(subject="Oslo", facts=(two, one), keep=(kept[1], kept[0])),
    ]
    assert merged_by_subject(groups) == [
        SubjectGroup(subject="Oslo", facts=(one, two), keep=tuple(kept)),
        groups[1],
    ]
    assert merged_by_subject(groups[:2]) == groups[:2]


def test_a_group_that_diverges_is_left_out_and_the_others_are_found(groups):
    def find(some):
        if any(group.subject == "Oslo" for group in some):
            raise EditDiverged("the loss of Oslo is not finite")
        return [group.subject for group in some]

    found, refused = found_values(groups, find)
    assert [name for _, name in found] == ["Marie Curie", "Anne Redpath"]
    assert refused == {groups[1].facts[0].id: "the loss of Oslo is not finite"}


def test_a_group_without_a_usable_fact_is_left_out(host, contexts, groups, make_fact):
    stray = make_fact("She", "{} was born in", target="Paris")
    kept, refused = editable(host, [replace(groups[0], facts=(stray,)), groups[1]], contexts)
    assert [group.subject for group in kept] == ["Oslo"]
    assert list(refused) == [stray.id]
