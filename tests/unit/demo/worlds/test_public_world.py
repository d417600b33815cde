"""The world of public facts, and streams and scores made with it."""

from __future__ import annotations

import random
import time

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.messages import Fate
from guardedit.demo.disabling.held_out import choose_held_out
from guardedit.demo.scores import questions_after, score
from guardedit.demo.stream.building import make_stream
from guardedit.demo.stream.expected import LineKind
from guardedit.demo.worlds.finding import further_facts
from guardedit.demo.worlds.public_world import PublicWorld, public_world
from guardedit.demo.worlds.setting import embedded_setting, is_embedded
from guardedit.demo.worlds.stream_world import exact, exact_or_contained
from guardedit.guard import ProbeSet
from guardedit.guard.catalogue import KnownQuestion
from guardedit.prepare.facts import load_public_facts, load_relations
from guardedit.settings import Settings
from guardedit.zoo.world import World

KINDS = {"P36", "P30", "P38"}


@pytest.fixture(scope="module")
def public() -> PublicWorld:
    return make(asks_questions=True)


def make(*, asks_questions: bool) -> PublicWorld:
    every = load_public_facts()
    known = [fact for fact in every if fact.relation in KINDS]
    return public_world(known, every, load_relations(), asks_questions=asks_questions)


def base(world: PublicWorld):
    """A chat model that knows the world and answers in sentences."""
    known = {
        world.prompt(f, i): f"The answer is {f.object}."
        for f in world.facts
        for i in range(len(world.wordings[f.relation]))
    }
    return lambda prompts: [known.get(prompt, "I do not know.") for prompt in prompts]


def test_a_correction_has_statements_first_and_one_question(public):
    fact = public.facts[0]
    for seed in range(20):
        first, second, question = public.given(fact, random.Random(seed))
        texts = [public.prompt(fact, n) for n in (first, second, question)]
        assert "?" not in texts[0] + texts[1]
        assert texts[2].endswith("?")
        assert all(fact.subject in text for text in texts)
        assert len(set(texts)) == 3


def test_a_chat_model_is_asked_questions_and_another_statements(public):
    fact, raw = public.facts[0], make(asks_questions=False)
    assert all("?" in public.prompt(fact, n) for n in public.shown(fact))
    assert not any("?" in raw.prompt(fact, n) for n in raw.shown(fact))
    assert public.known(fact) == tuple(public.shown(fact)[:2])


def test_harm_is_measured_on_held_out_subjects_in_wordings_that_no_probe_set_has(public):
    assert public.held_out
    for fact in public.facts:
        if fact.subject in public.held_out:
            assert public.hidden(fact)
            assert not public.hidden(fact) & set(public.known(fact))
        else:
            assert not public.hidden(fact)


def test_further_facts_are_about_the_same_subjects_in_other_relations():
    every = load_public_facts()
    known = [fact for fact in every if fact.relation == "P36"]
    further = further_facts(known)
    assert len(further) > 50
    assert {fact.subject for fact in further} <= {fact.subject for fact in known}
    assert "P36" not in {fact.relation for fact in further}
    assert further_facts([*known, *further]) == []


def test_of_two_objects_of_a_subject_one_is_in_the_world():
    every = load_public_facts()
    borders = [fact for fact in every if fact.relation == "P47"]
    world = public_world(borders, every, load_relations(), asks_questions=True)
    keys = [(fact.subject, fact.relation) for fact in world.facts]
    assert len(keys) == len(set(keys)) <= len(borders)


def test_a_stream_of_public_facts_has_every_kind_and_asks_in_wordings_that_were_not_given(public):
    stream = make_stream(
        public, corrections=60, seed=3, disabling=(), now_s=time.time(), known_fate=Fate.ACCEPTED
    )
    assert set(stream.counts) == {kind.value for kind in LineKind} - {LineKind.DISABLING.value}
    for line in stream.lines:
        if line.kind is LineKind.UPDATE:
            correction = decode_correction(line.raw)
            assert "?" not in correction.prompt
            assert correction.target_new in public.objects[correction.relation]
        if line.kind is LineKind.NO_OP:
            assert line.fate is Fate.ACCEPTED
    assert stream.live
    for fact in stream.live.values():
        assert fact.unseen
        assert not set(fact.given) & set(fact.unseen)


@pytest.mark.parametrize(
    ("answer", "wanted", "whole", "contained"),
    [
        ("Rome", "Rome", True, True),
        ("The capital of France is Rome.", "Rome", False, True),
        ("The capital of France is Paris. It was Rome.", "Rome", False, False),
        ("Romeo", "Rome", False, False),
    ],
)
def test_an_answer_counts_as_the_world_says(answer, wanted, whole, contained):
    assert exact(answer, wanted) is whole
    assert exact_or_contained(answer, wanted) is contained


def test_sentences_that_contain_the_object_are_right_and_others_are_not(public):
    stream = make_stream(public, corrections=60, seed=3, disabling=(), now_s=time.time())
    before = base(public)
    asked = questions_after(
        public, before, live=stream.live, gone=stream.gone, seed=1, others=40, is_right=exact_or_contained
    )
    assert len(asked.other_subject) == 40
    told = {text: one.target for one in asked.live for text in (*one.given, *one.unseen)}

    def served(prompts):
        return [
            f"It is {told[p]}, of course." if p in told else answer
            for p, answer in zip(prompts, before(prompts), strict=True)
        ]

    scores = score(served, asked)
    assert scores.exact_match == scores.paraphrase == scores.locality_other_subject == scores.gone == 1.0
    unedited = score(before, asked)
    assert unedited.exact_match < 0.2  # a no_op line states what the model answers already
    assert unedited.locality_other_subject == 1.0
    wrong = score(lambda prompts: ["It is Atlantis."] * len(prompts), asked)
    assert wrong.locality_other_subject == wrong.gone == wrong.exact_match == 0.0


def test_held_out_questions_are_asked_in_form_and_kept_by_the_worlds_rule(public):
    answer = base(public)

    class Worker:
        def measure(self, edits, probes):
            from guardedit.core.probe import Measurement

            assert all(q.prompt.startswith("<user>") for q in probes.questions)
            found = {q.prompt: answer([q.prompt.removeprefix("<user>")])[0] for q in probes.questions}
            return Measurement(weights_sha256="", logprobs=((-1.0,),), answers=found)

    held_out = choose_held_out(
        public,
        Worker(),
        ["a b c"],
        seen=(),
        seed=0,
        count=12,
        asked=lambda text: f"<user>{text}",
        is_right=exact_or_contained,
    )
    assert len(held_out.probes.questions) == 12
    one = held_out.probes.questions[0]
    assert one.subject in public.held_out
    assert held_out.kept({one.prompt: f"It is {one.expected}."}, one)
    assert not held_out.kept({one.prompt: "It is Atlantis."}, one)


def test_the_embedded_world_is_recognised_by_the_probe_set(tmp_path):
    world = World.load()
    own = [
        KnownQuestion(f.subject, f.relation, world.prompt(f, world.known(f)[0]), f.object)
        for f in world.facts[:50]
    ]
    chat = [
        KnownQuestion(f.subject, f.relation, f"What about {f.subject}?", f.object) for f in world.facts[:60]
    ]
    named = Settings(home=tmp_path, model="other")
    assert is_embedded(named, ProbeSet(("a",), tuple(own)))
    assert not is_embedded(named, ProbeSet(("a",), (*own, *chat)))
    assert is_embedded(Settings(home=tmp_path), ProbeSet(("a",), tuple(chat)))


def test_the_embedded_demo_keeps_its_sizes():
    setting = embedded_setting(ProbeSet(("a",), ()))
    assert (setting.disabling, setting.searched, setting.harm_questions) == (12, 6, 150)
    assert (setting.other_subjects, setting.known_fate) == (300, Fate.UNCHANGED)
    assert setting.fleeting_s(300) == 45.0
