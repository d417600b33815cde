"""`says` agrees with `ask` on the shipped model, with facts in the memory, in the weights and nowhere."""

from __future__ import annotations

import pytest
import torch

from guardedit import assembly
from guardedit.core.epoch import Epoch
from guardedit.core.errors import MalformedCorrection
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.protocols import SubjectGroup
from guardedit.core.serving import Snapshot
from guardedit.editing.registry import Registry
from guardedit.memory.context import Announcement, Prompts
from guardedit.models.text.drafts import Draft, DraftMatch, match_drafts
from guardedit.models.text.generation import Ending
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

STEP = 7  # every seventh known fact is asked about
IN_WEIGHTS = 4


@pytest.fixture(scope="module")
def setup(warm_home, policy):
    torch.set_num_threads(1)
    return assembly.load_setup(Settings(home=warm_home, metrics=None), policy)


@pytest.fixture(scope="module")
def corrected(world) -> list[Fact]:
    """Known facts with another object."""
    made = []
    for n, known in enumerate(world.facts[: 20 * STEP : STEP]):
        others = [name for name in world.objects[known.relation] if name != known.object]
        made.append(
            Fact(
                key=FactKey(known.subject, known.relation),
                version=1,
                correction_id=f"c{n}",
                wordings=(world.prompt(known, 0),),
                target=others[n % len(others)],
                placement=Placement.WEIGHTS if n < IN_WEIGHTS else Placement.MEMORY,
            )
        )
    return made


@pytest.fixture(scope="module")
def replica(setup, corrected, warm_home, policy) -> ServingReplica:
    groups = [SubjectGroup(subject=fact.key.subject, facts=(fact,)) for fact in corrected[:IN_WEIGHTS]]
    edits = Registry().build("joint", setup).propose(groups, ()).edits
    shard = MemoryShard(assembly.load_memory(Settings(home=warm_home), policy))
    served = ServingReplica(setup.host.twin(), setup.fold, [shard])
    epoch = Epoch(
        number=1,
        kind="test",
        base_sha256=setup.host.base_sha256,
        policy_sha256="",
        weights_sha256=setup.fold.weights_sha256(edits),
        edits=tuple(sorted(edit.digest for edit in edits)),
        state_sha256="",
        created_at_s=0.0,
    )
    served.publish(Snapshot(epoch=epoch, edits=edits, facts=tuple(corrected)))
    return served


@pytest.fixture(scope="module")
def answered(replica, corrected, world) -> dict[str, str]:
    """Question -> answer of `ask`."""
    questions = [fact.prompt for fact in corrected]
    questions += [world.prompt(known, 0) for known in world.facts[3 : 40 * STEP : STEP]]
    questions += ["The", "Once upon a time", f"{world.facts[0].subject} ", "Who wrote that?"]
    answers = replica.ask(questions)
    assert {answer.placement for answer in answers} == {"memory", "weights", "base"}
    return {question: answer.text for question, answer in zip(questions, answers, strict=True)}


def variations(text: str, other: str) -> list[str]:
    """The answer, near misses and wrong answers."""
    words = text.split(" ")
    return [
        text, other, "", text[:-1], " ".join(words[:-1]), words[0], f"{text} and more", f"{text}.",
        f" {text}", text.upper(), f"{text}\n", text + text, text * 30,
    ]  # fmt: skip


def test_says_agrees_with_ask_for_right_wrong_cut_and_empty_answers(replica, answered, corrected):
    asked = [
        (question, answer)
        for n, (question, text) in enumerate(answered.items())
        for answer in variations(text, corrected[n % len(corrected)].target)
    ]
    confirmed = replica.says(asked)
    assert confirmed == [answered[question] == answer for question, answer in asked]
    assert sum(confirmed) >= len(answered)


def test_an_answer_is_confirmed_without_generating(replica, answered, monkeypatch):
    monkeypatch.setattr(replica._host, "complete", lambda prompts, **_: [None] * len(prompts))
    confirmed = replica.says(list(answered.items()))
    assert sum(confirmed) >= 0.9 * len(answered)  # the other answers end differently from their draft
    wrong = replica.says([(question, "Atlantis") for question in answered])
    assert not any(wrong)


def test_the_texts_given_to_the_model_lead_to_the_answers_of_ask(replica, answered, corrected):
    questions = list(answered)
    given = replica.given(questions)
    with replica._host.patched(replica._state.weights.folded.patch):
        assert replica._host.complete(given) == list(answered.values())
    in_memory = [given[questions.index(fact.prompt)] for fact in corrected[IN_WEIGHTS:]]
    assert all(text.startswith("Correction: ") for text in in_memory)
    other = Prompts(announcement=Announcement(statement="Note: {wording} {target}."))
    assert replica.given([corrected[-1].prompt], prompts=other)[0].startswith("Note: ")


def test_what_ask_refuses_is_refused(replica):
    with pytest.raises(MalformedCorrection):
        replica.says([("", "x")])
    with pytest.raises(MalformedCorrection):
        replica.says([("river " * 3000, "x")])


@pytest.mark.parametrize(
    ("text", "answer", "may"),
    [
        ("", "Rome", True),
        (" Ro", "Rome", True),
        (" Ro\ufffd", "Rome", True),
        (" Rome", "Rome", True),
        (" Rome.", "Rome", True),
        (" Rome. ", "Rome", True),
        (" Rom.", "Rome", False),
        (" Romans", "Rome", False),
        (" Lima", "Rome", False),
        ("", "", True),
        (".", "", True),
        (" a", "", False),
        (" St. ", "St. Louis", True),
    ],
)
def test_what_was_generated_may_still_become_the_answer(text, answer, may):
    assert DraftMatch(None, text).may_become(answer) is may


def test_no_drafts_are_no_readings(setup):
    host = setup.host
    assert match_drafts(host, [], Ending.of(host)) == []
    row = host.tokenizer("Rome")["input_ids"]
    (reading,) = match_drafts(host, [Draft(row, row)], Ending.of(host, 1))
    assert reading.answer is not None  # the limit is reached at once
