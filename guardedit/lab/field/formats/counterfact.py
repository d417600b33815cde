"""Reads CounterFact: the original rows (Meng et al. 2022, arXiv:2202.05262), and EasyEdit's flat ones."""

from __future__ import annotations

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldCase, FieldEdit, case_of_one
from guardedit.lab.field.formats.rows import DataRow

#: Fields that tell the original rows and the flat ones from other data sets.
ORIGINAL = frozenset({"requested_rewrite", "neighborhood_prompts"})
FLAT = frozenset({"prompt", "target_new", "rephrase_prompt", "locality_prompt"})


def counterfact_case(row: DataRow, number: int) -> FieldCase:
    """The case of a row in either form; `number` names a row without `case_id`.

    A flat row has one paraphrase and one neighbour.

    Raises:
        UsageError: names the row and the field that is wrong.
    """
    name = row.name(number, "case_id")
    if "requested_rewrite" not in row.body:
        return _flat(row, name)
    return case_of_one(
        name,
        rewrite_of(row.inner("requested_rewrite")),
        paraphrases=row.texts("paraphrase_prompts"),
        neighbours=row.texts("neighborhood_prompts"),
        attributes=row.texts("attribute_prompts"),
    )


def rewrite_of(row: DataRow) -> FieldEdit:
    """The edit in a `requested_rewrite`, as CounterFact and MQuAKE write it."""
    subject, prompt = row.text("subject"), row.text("prompt")
    if prompt.count("{}") != 1:
        raise UsageError(
            f"{row.place}: prompt must have one {{}} in place of the subject, got {prompt!r:.80}"
        )
    return FieldEdit(
        subject=subject,
        prompt=prompt.replace("{}", subject),
        target_new=row.inner("target_new").text("str"),
        target_true=row.inner("target_true").text("str"),
        relation=row.optional_text("relation_id"),
        at=(place := prompt.index("{}"), place + len(subject)),
    )


def _flat(row: DataRow, name: str) -> FieldCase:
    edit = FieldEdit(
        subject=row.text("subject"),
        prompt=row.text("prompt"),
        target_new=row.text("target_new"),
        target_true=row.text("ground_truth"),
    )
    return case_of_one(
        name,
        edit,
        paraphrases=(row.text("rephrase_prompt"),),
        neighbours=(row.text("locality_prompt"),),
    )
