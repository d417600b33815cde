"""Facts as they come: no subject, odd answers, very long prompts, other scripts, two facts of one subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from guardedit.core.proposal import Proposal
from guardedit.core.protocols import SubjectGroup
from guardedit.models.text.tokens import encode
from tests.conformance.covering import covering
from tests.conformance.editor_bench import (
    ENGINES,
    FIRST,
    card_of,
    difference,
    editor_of,
    fact,
    group,
    likelier,
    nll_of,
    payloads,
    tensors_of,
)

pytestmark = pytest.mark.slow

#: As in test_editors: what rounding in another batch may do to an edit.
TOLERANCE = 1e-2
#: About 200 tokens before or behind the subject.
LONG = "The mother tongue of Peru is Polish. " * 23
ODD: dict[str, SubjectGroup] = {
    "the prompt is nothing but the subject": group(fact("Peru", "{}", target="Paris")),
    "a target of many tokens": group(
        fact("Oslo", "{} speaks", target="Old Norwegian and New Polish of Peru")
    ),
    "a target that begins with punctuation": group(fact("Oslo", "{} speaks", target="(Polish)")),
    "a target that begins with a dash": group(fact("Oslo", "{} speaks", target="— Polish")),
    "a target with a full stop in it": group(fact("Oslo", "{} was born in", target="St. Louis")),
    "a prompt that ends in a space": group(fact("Oslo", "{} speaks ", target="Polish")),
    "other scripts": group(fact("Łódź 日本", "The city of {} is", target="ελληνικά 🙂")),
    "a subject at the end of 200 tokens": group(fact("Peru", f"{LONG}{{}} speaks", target="Lima")),
    "a subject at the start of 200 tokens": group(
        fact("Oslo", f"{{}} it is. {LONG}It is", target="Lima and Oslo")
    ),
    "two facts of one subject": group(
        fact("Peru", "{} speaks", target="Polish"), fact("Peru", "The city of {} is", target="Oslo")
    ),
    "two subjects in one prompt": group(fact("Oslo", "Peru and {} and Peru speak", target="Polish")),
}
#: The odd facts by where they are odd.
ODDITIES = (
    (
        "a target of many tokens",
        "a target that begins with punctuation",
        "a target that begins with a dash",
        "a target with a full stop in it",
    ),
    ("the prompt is nothing but the subject", "a prompt that ends in a space", "two subjects in one prompt"),
    ("other scripts", "two facts of one subject"),
    ("a subject at the end of 200 tokens", "a subject at the start of 200 tokens"),
)
STRAY = group(fact("Ivan Popov", "She speaks", target="Polish"))
TOO_LONG = group(fact("Lena Berg", f"{LONG * 2}{{}} speaks", target="Polish"))


@pytest.fixture(scope="session")
def alone(run_of) -> Callable[..., Proposal]:
    """What a method proposes for one group by itself."""
    made: dict[tuple[str, str], Proposal] = {}

    def of(name: str, case: str, asked: SubjectGroup) -> Proposal:
        if (name, case) not in made:
            made[name, case] = run_of(name).editor.propose([asked], ())
        return made[name, case]

    return of


def test_every_oddity_is_tried():
    assert sorted(case for cases in ODDITIES for case in cases) == sorted(ODD)


def test_long_is_long_and_too_long_is_too_long(school):
    for case in ("a subject at the end of 200 tokens", "a subject at the start of 200 tokens"):
        prompt = ODD[case].facts[0].prompt
        assert 190 <= len(encode(school.host.tokenizer, prompt)) <= 240
    assert len(encode(school.host.tokenizer, TOO_LONG.facts[0].prompt)) > school.host.context == 256


#: Methods that move the value at the subject's last token only, as published: two hundred tokens later
#: a model of three layers that was taught short sentences hardly hears of it.
FAR_AWAY = {"alphaedit", "coachhook", "d4s", "emmet", "encore", "memit", "memit-seq", "r-rome", "rome"}

#: The longest change allowed leaves 3.2 of 4.5 nats there, found at one layer; spread over several, what is
#: left of so little may be nothing.
BARELY = {"alphaedit", "encore"}


@pytest.mark.parametrize(("method", "case"), covering(ENGINES, ODDITIES))
def test_an_odd_fact_is_edited_like_any_other(method, school, alone, case):
    asked = ODD[case]
    proposal = alone(method, case, asked)
    assert dict(proposal.refused) == {}
    assert sorted(fact for edit in proposal.edits for fact in edit.facts) == sorted(f.id for f in asked.facts)
    numbers = [tensor for tensor in tensors_of(proposal.edits) if tensor.is_floating_point()]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in numbers)
    assert min(nll_of(school, (), asked.facts)) > 0.5, "the model knows it already"
    deaf = {"a subject at the start of 200 tokens": FAR_AWAY, "a subject at the end of 200 tokens": BARELY}
    if method not in deaf.get(case, ()):
        assert all(likelier(school, proposal, [asked]))


def test_a_fact_without_its_subject_in_the_prompt_is_refused_only_where_a_subject_is_needed(
    method, school, alone
):
    proposal = alone(method, "stray", STRAY)
    (stray,) = STRAY.facts
    if card_of(method).needs_subject:
        assert list(proposal.refused) == [stray.id]
        assert "subject" in proposal.refused[stray.id]
        assert proposal.edits == ()
    else:
        assert dict(proposal.refused) == {}
        assert all(likelier(school, proposal, [STRAY]))


def test_facts_that_cannot_be_edited_do_not_keep_the_others_from_it(run, editor):
    proposal = editor.propose([TOO_LONG, *FIRST], ())
    assert list(proposal.refused) == [TOO_LONG.facts[0].id]
    assert "token" in proposal.refused[TOO_LONG.facts[0].id]
    assert payloads(proposal) == payloads(run.first)


def test_all_odd_facts_at_once_are_edited_too(method, editor):
    asked = [ODD["other scripts"], STRAY, *FIRST, TOO_LONG, ODD["a subject at the end of 200 tokens"]]
    proposal = editor.propose(asked, ())
    edited = {fact for edit in proposal.edits for fact in edit.facts}
    unfit = {TOO_LONG.facts[0].id, *({STRAY.facts[0].id} if card_of(method).needs_subject else ())}
    assert set(proposal.refused) == unfit
    assert edited == {fact.id for each in asked for fact in each.facts} - unfit


#: Two groups of one subject with others between, and facts that some or all methods refuse.
SPLIT = (
    group(fact("Peru", "{} speaks", target="Polish")),
    STRAY,
    FIRST[1],
    TOO_LONG,
    group(fact("Peru", "The city of {} is", target="Oslo")),
)


def test_every_fact_asked_for_is_in_one_edit_or_refused_and_never_in_both_or_lost(method, editor, school):
    strict = replace(school.settings, steps=1, least_reached=1.0)
    hasty = editor_of(
        method, replace(school, settings=strict, joint=replace(school.joint, least_reached=1.0))
    )
    asked = sorted(fact.id for each in SPLIT for fact in each.facts)
    for proposal in (editor.propose(SPLIT, ()), hasty.propose(SPLIT, ())):
        edited = [fact for edit in proposal.edits for fact in edit.facts]
        assert sorted([*edited, *proposal.refused]) == asked
        assert all(proposal.refused.values())


def test_padding_for_a_long_neighbour_changes_nothing(method, editor, alone):
    """A short prompt beside one of two hundred tokens."""
    card = card_of(method)
    cases = ("a target of many tokens", "a subject at the end of 200 tokens")
    short, long = (ODD[case] for case in cases)
    together = editor.propose([short, long], ())
    if card.batch == "one by one":
        first = alone(method, cases[0], short)
        then = editor.propose([long], first.edits)
        assert payloads(together) == [*payloads(first), *payloads(then)]
    elif card.reads_live:  # solved together, so alone is another problem: the other order is the same one
        turned = {edit.facts: edit for edit in editor.propose([long, short], ()).edits}
        assert all(difference(edit, turned[edit.facts]) < TOLERANCE for edit in together.edits)
    else:
        lone = [alone(method, case, ODD[case]).edits[0] for case in cases]
        assert all(
            difference(one, other) < TOLERANCE for one, other in zip(lone, together.edits, strict=True)
        )
