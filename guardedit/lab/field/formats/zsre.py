"""Reads zsRE question answering as split for MEND (Mitchell et al. 2022, arXiv:2110.11309).

The object that is written is `alt`, as in MEND and EasyEdit, and the first of `answers` is the one that it
replaces. (ROME and MEMIT write the first of `answers` instead, so their numbers are of another task.) A row
without `alt` writes the first of `answers`.
"""

from __future__ import annotations

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldCase, FieldEdit, FieldQuestion, QuestionGroup, case_of_one
from guardedit.lab.field.formats.rows import DataRow

#: Fields that tell these rows from other data sets.
FIELDS = frozenset({"src", "answers", "loc"})


def zsre_case(row: DataRow, number: int) -> FieldCase:
    """The case of a row; `number` names a row without `case_id`.

    The unrelated question is asked as it stands, with `nq question: ` in front.

    Raises:
        UsageError: names the row and the field that is wrong.
    """
    answers = row.texts("answers")
    if not answers:
        raise UsageError(f"{row.place}: answers must have at least one text")
    new = row.optional_text("alt")
    edit = FieldEdit(
        subject=row.text("subject"),
        prompt=row.text("src"),
        target_new=new or answers[0],
        target_true=answers[0] if new else "",
    )
    unrelated = FieldQuestion(
        group=QuestionGroup.LOCALITY, prompt=row.text("loc"), wanted=row.text("loc_ans")
    )
    rephrase = row.optional_text("rephrase")
    return case_of_one(
        row.name(number, "case_id"),
        edit,
        paraphrases=(rephrase,) if rephrase else (),
        others=(unrelated,),
    )
