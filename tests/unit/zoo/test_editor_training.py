from __future__ import annotations

import json

import pytest

from guardedit.editing.hyper.checkpoint import checkpoint_file, read_tensors
from guardedit.zoo.editor_training import HELD_OUT, held_out_subjects, training_examples
from guardedit.zoo.world import ZOO_FOLDER, KnownFact, World

WORLD = World(
    facts=tuple(
        KnownFact(f"Land {n}", relation, value)
        for n in range(HELD_OUT + 20)
        for relation, value in (("capital", f"City {n % 7}"), ("tongue", "Norse"))
    ),
    wordings={
        "capital": ("The capital of {} is", "{} is ruled from", "{} has its seat in", "In {} one meets in"),
        "tongue": ("In {} they speak", "The tongue of {} is", "{} speaks", "Heard in {}:"),
    },
)


def know_all(prompts):
    """Somebody who answers every question about the world rightly."""
    answers = {WORLD.prompt(fact, n): fact.object for fact in WORLD.facts for n in range(4)}
    return [answers[prompt] for prompt in prompts]


def test_no_lesson_mentions_a_subject_that_examinations_edit():
    # `tongue` has one value only, so no counterfactual can be made of it and no case either.
    world = World(
        facts=tuple(fact for fact in WORLD.facts if fact.relation == "capital"), wordings=WORLD.wordings
    )
    held_out = held_out_subjects(world, know_all)
    found = training_examples(world, held_out)
    assert len(held_out) == HELD_OUT
    assert {example.subject for example in found} == {fact.subject for fact in world.facts} - held_out
    assert len(found) == 20


def test_every_other_object_is_a_new_answer_and_a_relation_of_one_object_has_none():
    found = training_examples(WORLD, frozenset())
    assert {example.relation for example in found} == {"capital"}
    for example in found:
        assert {*example.targets, example.old} == {f"City {n}" for n in range(7)}
        assert len(example.wordings) == 4


@pytest.mark.parametrize("method", ["ke", "mend"])
def test_the_editors_that_ship_belong_to_the_model_that_ships(method):
    path = checkpoint_file(ZOO_FOLDER / "model" / "editors", method)
    _, about = read_tensors(path, remedy="")
    card = json.loads((ZOO_FOLDER / "model" / "edit_card.json").read_text())
    assert (about["method"], about["base_sha256"]) == (method, card["base_sha256"])
    assert path.stat().st_size <= 2_000_000
