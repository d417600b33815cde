"""A chat model repeats the question before its answer: the reply is kept, the answer is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.joint.solver import FIRST, SECOND, JointSolver
from guardedit.editing.optimise import perturbations
from guardedit.editing.optimise.answer_check import says_targets
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.rows import Row, fact_rows, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.settings import EditSettings

WORDING = "The tongue of Marie Curie is"
FACT = Fact(
    key=FactKey("Marie Curie", "P1412"), version=1, correction_id="c", wordings=(WORDING,), target="Polish"
)
LAYER = 1
WEIGHT = 3.0


@dataclass(frozen=True)
class Chat:
    """A template without special tokens."""

    name: str = "chat"
    answer_tokens: int = 12

    def asked(self, question, *, system=""):
        return f"User: {question} Reply:\n"


CONTEXTS = Contexts(("You see.",), chat=Chat(), end="")


def rows_of(host):
    return fact_rows(0, FACT, "Marie Curie", CONTEXTS), row_tensors(
        host.tokenizer, fact_rows(0, FACT, "Marie Curie", CONTEXTS), context=host.context
    )


def test_the_reply_is_read_from_its_first_token_and_changed_from_the_answer_on(gpt2):
    rows, tensors = rows_of(gpt2)
    bare, prefixed, chat = range(3)
    assert [row.reply_at is None for row in rows] == [True, True, False]
    assert tensors.first[[bare, prefixed]].tolist() == tensors.changes[[bare, prefixed]].tolist()

    def read(start, end):
        return gpt2.tokenizer.decode(tensors.ids[chat, int(start) + 1 : int(end) + 1])

    assert read(tensors.first[chat], tensors.changes[chat]).strip() == WORDING
    assert read(tensors.changes[chat], tensors.last[chat] + 1).strip() == FACT.target
    assert int(tensors.subject_at[chat]) < int(tensors.first[chat])  # in the user's turn


def test_a_row_to_keep_changes_nothing(gpt2):
    tensors = row_tensors(
        gpt2.tokenizer, [Row(group=0, subject="Oslo", prompt="Oslo is in", answer="Norway.")], context=64
    )
    assert tensors.changes.tolist() == (tensors.last + 1).tolist()


def test_the_loss_of_a_reply_is_the_sum_of_a_row_to_change_and_a_weighed_one_to_keep(gpt2):
    _, tensors = rows_of(gpt2)
    chat = tensors.select(torch.tensor([2]))
    change = torch.randn(1, gpt2.base_matrix(LAYER).shape[0], generator=torch.Generator().manual_seed(2))

    def scores(rows):
        upper = UpperLayers(gpt2, LAYER, rows)
        objective = Objective(upper, rows, perturbations.at_subject(upper, rows), preservation_weight=WEIGHT)
        return objective.score(change, torch.tensor([True]))

    whole = scores(chat)
    target = scores(replace(chat, first=chat.changes))
    reply = scores(replace(chat, last=chat.changes - 1, keep=torch.tensor([True])))
    assert float(reply.loss_nats) > 0
    assert float(whole.loss_nats) == pytest.approx(
        float(target.loss_nats) + WEIGHT * float(reply.loss_nats), rel=1e-4
    )
    assert float(whole.hardest) == pytest.approx(float(target.hardest), rel=1e-4)
    assert bool(whole.satisfied) == (bool(target.satisfied) and bool(reply.satisfied))


def test_the_second_attempt_teaches_the_end_and_crosses_every_wording_with_every_context(
    make_setup, gpt2, gpt2_moments
):
    both = replace(FACT, wordings=(WORDING, "Marie Curie speaks"))
    group = SubjectGroup(subject="Marie Curie", facts=(both,), keep=())
    setup = make_setup(gpt2, gpt2_moments, EditSettings())
    solver = JointSolver(setup, CONTEXTS)
    first = [row for row in solver._rows(0, group, FIRST) if row.fact]
    second = [row for row in solver._rows(0, group, SECOND) if row.fact]
    assert {row.answer for row in first} == {"Polish"}
    assert {row.answer for row in second} == {"Polish."}
    assert (len(first), len(second)) == (4, 6)
    with_end = JointSolver(setup, replace(CONTEXTS, end="."))  # nothing more to teach
    assert len([row for row in with_end._rows(0, group, SECOND) if row.fact]) == 4


@pytest.mark.parametrize(
    ("answer", "said"), [("Her tongue is Polish", True), ("Polishness is a tongue", False), ("French", False)]
)
def test_a_chat_model_has_to_name_the_target(gpt2, monkeypatch, answer, said):
    asked = []
    monkeypatch.setattr(gpt2, "form", Chat())
    monkeypatch.setattr(gpt2, "complete", lambda prompts: asked.extend(prompts) or [answer])
    assert says_targets(gpt2, [FACT]) == ({FACT.id} if said else set())
    assert asked == [Chat().asked(WORDING)]


def test_a_model_that_continues_is_asked_the_prompt_itself(gpt2):
    said = gpt2.complete([WORDING])[0]
    assert says_targets(gpt2, [replace(FACT, target=said), replace(FACT, target="Rome", version=2)]) == {
        replace(FACT, target=said).id
    }
