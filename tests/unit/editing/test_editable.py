from __future__ import annotations

from guardedit.core.probe import Kind, Question
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.editable import by_subject


def test_groups_of_one_subject_become_one_where_the_first_stood(make_fact):
    one, two, other = (
        make_fact("Oslo", "{} speaks", target="Polish"),
        make_fact("Oslo", "The city of {} is", target="Lima"),
        make_fact("Peru", "{} speaks", target="Norwegian"),
    )
    kept = [Question(prompt=text, kind=Kind.SAME_SUBJECT) for text in ("Oslo is in", "Oslo likes")]
    groups = [
        SubjectGroup(subject="Oslo", facts=(one,), keep=(kept[0],)),
        SubjectGroup(subject="Peru", facts=(other,)),
        SubjectGroup(subject="Oslo", facts=(two, one), keep=(kept[1], kept[0])),
    ]
    assert by_subject(groups) == [
        SubjectGroup(subject="Oslo", facts=(one, two), keep=tuple(kept)),
        groups[1],
    ]
    assert by_subject(groups[:2]) == groups[:2]
