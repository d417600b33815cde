"""Reads QAEdit (Yang et al. 2025, arXiv:2502.11177): questions that models answer wrongly, with answers."""

from __future__ import annotations

from guardedit.lab.field.cases import FieldCase, FieldEdit, FieldQuestion, QuestionGroup, case_of_one
from guardedit.lab.field.formats.rows import DataRow

#: Fields that tell these rows from other data sets.
FIELDS = frozenset({"prompt", "target", "rephrase", "locality"})


def qaedit_case(row: DataRow, number: int) -> FieldCase:
    """The case of a row; `number` names a row without `id`.

    Raises:
        UsageError: names the row and the field that is wrong.
    """
    edit = FieldEdit(subject=row.text("subject"), prompt=row.text("prompt"), target_new=row.text("target"))
    unrelated = (
        FieldQuestion(group=QuestionGroup.LOCALITY, prompt=one.text("loc"), wanted=one.text("loc_ans"))
        for one in row.inner_rows("locality")
    )
    return case_of_one(
        row.name(number, "id"), edit, paraphrases=(row.text("rephrase"),), others=tuple(unrelated)
    )
