"""A worker measures what was not measured before, and guesses change no answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from guardedit import assembly
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.registry import Registry
from guardedit.models.worker import ModelWorker
from guardedit.settings import Settings

TEXTS = ("The river runs through the old town.",)


@pytest.fixture(scope="module")
def setup(warm_home, policy):
    return assembly.load_setup(Settings(home=warm_home, metrics=None), policy)


@pytest.fixture(scope="module")
def probes(world) -> Probes:
    """What the model knows, once as it knows it and once as it does not."""
    facts = world.facts[:24]
    return Probes(
        texts=TEXTS,
        questions=tuple(
            Question(
                prompt=world.prompt(fact, 0),
                kind=QuestionKind.OTHER_SUBJECT,
                expected=fact.object if n % 2 else "Atlantis",
                subject=fact.subject,
            )
            for n, fact in enumerate(facts)
        ),
    )


@pytest.fixture(scope="module")
def edits(setup, world):
    known = world.facts[0]
    target = next(name for name in world.objects[known.relation] if name != known.object)
    fact = Fact(
        key=FactKey(known.subject, known.relation),
        version=1,
        correction_id="c",
        wordings=(world.prompt(known, 0),),
        target=target,
    )
    group = SubjectGroup(subject=known.subject, facts=(fact,))
    return Registry().build("joint", setup).propose([group], ()).edits


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["base first", "edited first"])
def test_answers_are_those_of_free_generation_whatever_was_asked_before(setup, probes, edits, order):
    worker = ModelWorker(setup.host, setup.fold, {})
    prompts = [question.prompt for question in probes.questions]
    for which in order:
        given = edits if which else ()
        said = worker.measure(given, probes).answers
        with setup.host.patched(setup.fold.fold(given)):
            assert [said[prompt] for prompt in prompts] == setup.host.complete(prompts)


def test_an_edit_changes_its_own_answer_and_not_the_others(setup, probes, edits):
    worker = ModelWorker(setup.host, setup.fold, {})
    before, after = worker.measure((), probes).answers, worker.measure(edits, probes).answers
    changed = {prompt for prompt in before if before[prompt] != after[prompt]}
    assert probes.questions[0].prompt in changed
    assert len(changed) <= 2


def test_what_was_measured_is_not_measured_again(setup, probes, edits, monkeypatch):
    worker = ModelWorker(setup.host, setup.fold, {})
    first = worker.measure(edits, probes)
    monkeypatch.setattr(setup.host, "patched", None)  # no edited model, so nothing can be asked of it
    again = worker.measure(edits, probes)
    assert (again.answers, again.logprobs) == (first.answers, first.logprobs)


def test_texts_that_were_read_are_not_read_again(setup, probes, edits, monkeypatch):
    worker = ModelWorker(setup.host, setup.fold, {})
    worker.measure(edits, replace(probes, texts=probes.texts[::2]))
    read, real = [], setup.host.token_logprobs
    monkeypatch.setattr(setup.host, "token_logprobs", lambda texts: read.extend(texts) or real(texts))
    found = worker.measure(edits, probes).logprobs
    assert read == list(probes.texts[1::2])
    whole = ModelWorker(setup.host, setup.fold, {}).measure(edits, probes).logprobs
    assert [len(row) for row in found] == [len(row) for row in whole]
    assert all(a == pytest.approx(b, abs=1e-4) for a, b in zip(found, whole, strict=True))


def test_two_threads_measure_what_one_measures(setup, probes, edits):
    alone = ModelWorker(setup.host, setup.fold, {})
    wanted = [alone.measure(given, probes) for given in ((), edits)]
    shared = ModelWorker(setup.host, setup.fold, {})
    setup.fold.forget()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: shared.measure(edits if n % 2 else (), probes), range(8)))
        digests = list(threads.map(lambda _: shared.weights_sha256(edits), range(8)))
    for n, measured in enumerate(found):
        assert measured.answers == wanted[n % 2].answers
        assert measured.logprobs == wanted[n % 2].logprobs
        assert measured.weights_sha256 == wanted[n % 2].weights_sha256
    assert set(digests) == {wanted[1].weights_sha256}
