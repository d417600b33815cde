"""Reads WikiBigEdit (Thede et al. 2025, arXiv:2503.05683): facts that changed in Wikidata, as questions."""

from __future__ import annotations

from collections.abc import Iterator

from guardedit.lab.field.cases import FieldCase, FieldEdit, FieldQuestion, QuestionGroup, case_of_one
from guardedit.lab.field.formats.rows import DataRow

#: Fields that tell these rows from other data sets.
FIELDS = frozenset({"update", "ans", "rephrase"})


def wikibigedit_case(row: DataRow, number: int) -> FieldCase:
    """The case of a row; `number` names it.

    Every field whose name begins with `personas` is a question in another person's words. They, the unrelated
    question (`loc`) and the one over several facts (`mhop`) may be missing.

    Raises:
        UsageError: names the row and the field that is wrong.
    """
    edit = FieldEdit(subject=row.text("subject"), prompt=row.text("update"), target_new=row.text("ans"))
    rephrase = row.optional_text("rephrase")
    return case_of_one(
        row.name(number, "id"),
        edit,
        paraphrases=(rephrase,) if rephrase else (),
        others=tuple(_others(row, edit.target_new)),
    )


def _others(row: DataRow, new: str) -> Iterator[FieldQuestion]:
    for name in row.body:
        if name.startswith("personas") and (prompt := row.optional_text(name)):
            yield FieldQuestion(group=QuestionGroup.PORTABILITY, prompt=prompt, wanted=new)
    pairs = (("loc", "loc_ans", QuestionGroup.LOCALITY), ("mhop", "mhop_ans", QuestionGroup.MULTI_HOP))
    for question, answer, group in pairs:
        if prompt := row.optional_text(question):
            yield FieldQuestion(group=group, prompt=prompt, wanted=row.text(answer))
