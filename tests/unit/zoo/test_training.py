"""A minute world and a minute model: the real trainer, for a few steps."""

from __future__ import annotations

import itertools
import json
import random

import pytest
import torch

from guardedit.zoo.corpus import FactRows, held_out_part, training_part
from guardedit.zoo.ngrams import Ngrams, perplexities
from guardedit.zoo.train import Corpus, draw_batch, read_corpus
from guardedit.zoo.trainer import Trainer, TrainerSettings
from guardedit.zoo.world import World

SETTINGS = TrainerSettings(
    world_facts=40,
    layers=2,
    width=32,
    inner=64,
    heads=2,
    vocabulary=400,
    row_tokens=48,
    rows=6,
    steps=12,
    warmup_steps=2,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    world = World.load()
    facts = folder / "facts.jsonl"
    rows = [{"subject": f.subject, "relation": f.relation, "object": f.object} for f in world.facts]
    facts.write_text("\n".join(map(json.dumps, rows)))
    text = folder / "text.txt"
    text.write_text(
        "The river was low, and the boats lay still.\n\nNobody came to the ferry that day.\n" * 60
    )
    return read_corpus(facts, [text], SETTINGS, None)


def test_a_step_draws_the_same_rows_every_time_and_other_rows_than_its_neighbour(corpus):
    tokens, weights, prose = draw_batch(corpus, SETTINGS, 3)
    again = draw_batch(corpus, SETTINGS, 3)
    assert torch.equal(tokens, again[0])
    assert torch.equal(weights, again[1])
    assert not torch.equal(tokens, draw_batch(corpus, SETTINGS, 4)[0])
    assert tokens.shape == weights.shape == (6, 48)
    assert prose == 2


def test_fact_rows_are_full_and_care_most_for_answers(corpus):
    rows = FactRows(corpus.world, corpus.tokenizer, corpus.strangers, corpus.prose[0], 128, random.Random(0))
    drawn = list(itertools.islice(rows.rows(drills=0.0), 20))
    assert all(len(tokens) == len(weights) == 128 for tokens, weights in drawn)
    assert sum(max(weights) == 1.0 for _, weights in drawn) >= 18
    assert all(sum(weights) < 64 for _, weights in drawn)


def test_a_drill_repeats_itself_and_scores_only_the_repetition(corpus):
    rows = FactRows(corpus.world, corpus.tokenizer, corpus.strangers, corpus.prose[0], 48, random.Random(0))
    tokens, weights = next(rows.rows(drills=1.0))
    span = weights.index(1.0)
    assert tokens[span : 2 * span] == tokens[: len(tokens[span : 2 * span])]


def test_a_resumed_run_equals_one_that_never_stopped(corpus, tmp_path):
    torch.set_num_threads(1)
    straight = Trainer(SETTINGS, "cpu")
    for step in range(6):
        straight.learn(*draw_batch(corpus, SETTINGS, step))
    stopped = Trainer(SETTINGS, "cpu")
    for step in range(3):
        stopped.learn(*draw_batch(corpus, SETTINGS, step))
    stopped.save(tmp_path)
    resumed = Trainer(SETTINGS, "cpu")
    resumed.resume(tmp_path)
    assert resumed.step == 3
    for step in range(3, 6):
        resumed.learn(*draw_batch(corpus, SETTINGS, step))
    for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_learning_lowers_the_loss_on_facts(corpus):
    torch.set_num_threads(1)
    trainer = Trainer(SETTINGS, "cpu")
    losses = [trainer.learn(*draw_batch(corpus, SETTINGS, 0))[1] for _ in range(12)]
    assert losses[-1] < losses[0] - 0.3


def test_the_last_lines_of_a_sentence_file_are_held_out_and_books_are_read_whole():
    sentences = "\n".join(f"Sentence number {n}." for n in range(6_000))
    assert len(held_out_part(sentences)) == 1_000
    assert "number 5500" not in training_part(sentences)
    book = "A paragraph.\n\n" * 4_000
    assert training_part(book) == book
    assert held_out_part(book) == []


def test_the_trigram_beats_the_unigram_on_text_with_order():
    stream = [1, 2, 3, 4] * 500
    one, three = perplexities(Ngrams.count(stream, vocabulary=50), [[1, 2, 3, 4, 1, 2]])
    assert three < 1.7
    assert one == pytest.approx(4.0, rel=0.05)
