"""Reads MQuAKE (Zhong et al. 2023, arXiv:2305.14795): edits, and questions over several of their facts."""

from __future__ import annotations

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldCase, FieldQuestion, QuestionGroup, own_question
from guardedit.lab.field.formats.counterfact import rewrite_of
from guardedit.lab.field.formats.rows import DataRow

#: Fields that tell these rows from other data sets.
FIELDS = frozenset({"requested_rewrite", "questions", "new_answer"})


def mquake_case(row: DataRow, number: int) -> FieldCase:
    """The case of a row; `number` names a row without `case_id`.

    Each edit's own prompt is the statement in `prompt`. Its `question` is a paraphrase.

    Raises:
        UsageError: names the row and the field that is wrong.
    """
    rows = row.inner_rows("requested_rewrite")
    edits = tuple(map(rewrite_of, rows))
    if not edits:
        raise UsageError(f"{row.place}: requested_rewrite must have at least one edit")
    paraphrases = (
        FieldQuestion(
            group=QuestionGroup.PARAPHRASE, prompt=question, wanted=edit.target_new, rival=edit.target_true
        )
        for one, edit in zip(rows, edits, strict=True)
        if (question := one.optional_text("question"))
    )
    hops = (
        FieldQuestion(
            group=QuestionGroup.MULTI_HOP,
            prompt=question,
            wanted=row.text("new_answer"),
            rival=row.optional_text("answer"),
            aliases=row.texts("new_answer_alias"),
        )
        for question in row.texts("questions")
    )
    return FieldCase(
        name=row.name(number, "case_id"),
        edits=edits,
        questions=(*map(own_question, edits), *paraphrases, *hops),
    )
