"""Defines the cases of the field's data sets: what is edited, and what is asked after it.

Plain records, the same for every data set. Does not know files, models or scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guardedit.core.correction import Correction
from guardedit.core.fact import FactKey
from guardedit.naming import Span, last_span


class QuestionGroup(StrEnum):
    """What a question is asked for."""

    OWN = "own"  # the edit's own prompt
    PARAPHRASE = "paraphrase"  # the same fact in other words
    NEIGHBOUR = "neighbour"  # another subject, the same relation, and truly the object that the edit replaces
    ATTRIBUTE = "attribute"  # another subject that truly has the new object; published scores leave it out
    LOCALITY = "locality"  # an unrelated question
    PORTABILITY = "portability"  # the fact asked by another person or in another role
    MULTI_HOP = "multi_hop"  # an answer that follows from several facts


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEdit:
    """One fact that a case edits.

    Attributes:
        subject: what it is about.
        prompt: the question with the subject filled in.
        target_new: the object to write.
        target_true: the object that it replaces; empty where the data set has none.
        relation: name of the relation; empty where the data set has none.
        at: the subject's characters [start, end) in the prompt; None: the subject is searched for.
    """

    subject: str
    prompt: str
    target_new: str
    target_true: str = ""
    relation: str = ""
    at: Span | None = None

    @property
    def template(self) -> str | None:
        """The prompt with `{}` in place of the subject; None where it does not name the subject.

        >>> FieldEdit(subject="York", prompt="New York and York are in", target_new="x").template
        'New York and {} are in'
        """
        at = self._span
        return None if at is None else f"{self.prompt[: at[0]]}{{}}{self.prompt[at[1] :]}"

    @property
    def _span(self) -> Span | None:
        return self.at or last_span(self.prompt, self.subject)

    def correction(self, name: str) -> Correction:
        """As the system receives it, with `name` as its id. The subject is spelled as in the prompt.

        Raises:
            ValueError: the prompt does not name the subject, see `template`.
        """
        at = self._span
        if at is None or self.template is None:
            raise ValueError(f"{self.prompt!r} does not name {self.subject!r}: leave this case out")
        return Correction(
            id=name,
            subject=self.prompt[slice(*at)],
            prompt=self.template,
            target_new=self.target_new,
            target_true=self.target_true or None,
            relation=self.relation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldQuestion:
    """One question about a case.

    Attributes:
        group: what it is asked for.
        prompt: the question.
        wanted: the right answer after the edits.
        rival: the answer that competes with it; empty where the data set has none.
        aliases: other names of `wanted`.
    """

    group: QuestionGroup
    prompt: str
    wanted: str
    rival: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCase:
    """One row of a data set.

    Attributes:
        name: unique in its file.
        edits: facts to edit, one but for multi-hop data sets.
        questions: all questions, the edits' own prompts among them.
    """

    name: str
    edits: tuple[FieldEdit, ...]
    questions: tuple[FieldQuestion, ...]

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The edits as the system receives them."""
        return tuple(edit.correction(f"{self.name}.{n}") for n, edit in enumerate(self.edits, start=1))

    @property
    def keys(self) -> tuple[FactKey, ...]:
        """What the edits are about."""
        return tuple(correction.key for correction in self.corrections)

    def asked(self, *groups: QuestionGroup) -> tuple[FieldQuestion, ...]:
        """The questions of these groups."""
        return tuple(question for question in self.questions if question.group in groups)


def case_of_one(
    name: str,
    edit: FieldEdit,
    *,
    paraphrases: tuple[str, ...] = (),
    neighbours: tuple[str, ...] = (),
    attributes: tuple[str, ...] = (),
    others: tuple[FieldQuestion, ...] = (),
) -> FieldCase:
    """A case with one edit.

    Args:
        name: unique in its file.
        edit: the edit.
        paraphrases: the edit's question in other words.
        neighbours: questions whose answer is truly `edit.target_true`.
        attributes: questions whose answer is truly `edit.target_new`.
        others: further questions.
    """
    new, true = edit.target_new, edit.target_true
    return FieldCase(
        name=name,
        edits=(edit,),
        questions=(
            own_question(edit),
            *(_ask(QuestionGroup.PARAPHRASE, prompt, new, true) for prompt in paraphrases),
            *(_ask(QuestionGroup.NEIGHBOUR, prompt, true, new) for prompt in neighbours),
            *(_ask(QuestionGroup.ATTRIBUTE, prompt, new, true) for prompt in attributes),
            *others,
        ),
    )


def own_question(edit: FieldEdit) -> FieldQuestion:
    """The edit's own prompt as a question."""
    return _ask(QuestionGroup.OWN, edit.prompt, edit.target_new, edit.target_true)


def _ask(group: QuestionGroup, prompt: str, wanted: str, rival: str) -> FieldQuestion:
    return FieldQuestion(group=group, prompt=prompt, wanted=wanted, rival=rival)
