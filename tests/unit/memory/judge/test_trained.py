"""The judge that comes with the package, and what happens with files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.fitting.judge import relations_sha256
from guardedit.memory.fitting.relations import load_relations
from guardedit.memory.judge.texts import SLOT, fact_text
from guardedit.memory.judge.trained import SHIPPED, TrainedJudge

OWNER = fact_text(f"{SLOT} is owned by", "Sony")


@pytest.fixture(scope="module")
def judge() -> TrainedJudge:
    return TrainedJudge.load()


def test_the_shipped_judge_is_small_and_was_trained_on_the_shipped_relations(judge):
    assert SHIPPED.stat().st_size < 30e6
    assert judge.about.relations_sha256 == relations_sha256(load_relations())
    assert 0 < judge.about.unsure < judge.about.accept < 1


@pytest.mark.parametrize(
    ("question", "in_scope"),
    [
        (f"Who owns {SLOT}?", True),
        (f"who is the owner of {SLOT}", True),
        (f"Hi! Do you know which company {SLOT} belongs to? Thanks!", True),
        (f"Wem gehört {SLOT}?", True),
        (f"When was {SLOT} founded?", False),
        (f"Who used to own {SLOT}?", False),
        (f"Who does not own {SLOT}?", False),
        (f"How many people work for {SLOT}?", False),
    ],
)
def test_it_tells_what_a_fact_answers(judge, question, in_scope):
    probability = judge.probabilities([(question, OWNER)])[0]
    assert (probability >= judge.about.unsure) == in_scope, probability


def test_a_pair_gets_the_same_probability_in_any_company(judge):
    pair = (f"Who owns {SLOT}?", OWNER)
    alone = judge.probabilities([pair])[0]
    others = [(f"Where is {SLOT}? " * n, OWNER) for n in range(1, 9)]
    fresh = TrainedJudge.load()
    assert fresh.probabilities([*others, pair])[-1] == pytest.approx(alone, abs=1e-5)
    assert judge.probabilities([pair, pair]).tolist() == [alone, alone]
    assert judge.probabilities([]).shape == (0,)


def test_a_saved_judge_is_loaded_as_it_was(judge, tmp_path: Path):
    path = tmp_path / "judge.safetensors"
    judge.save(path)
    again = TrainedJudge.load(path)
    assert again.about == judge.about
    pairs = [(f"Who owns {SLOT}?", OWNER), (f"Where is {SLOT}?", OWNER)]
    assert np.array_equal(again.probabilities(pairs), TrainedJudge.load().probabilities(pairs))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_a_file_that_is_no_judge_is_refused_with_the_remedy(damage, tmp_path: Path):
    path = tmp_path / "judge.safetensors"
    body = SHIPPED.read_bytes()
    if damage != "missing":
        path.write_bytes({"empty": b"", "cut": body[: len(body) // 2], "foreign": b"x" * 4000}[damage])
    with pytest.raises(MemoryIndexError, match="guardedit memory train"):
        TrainedJudge.load(path)
