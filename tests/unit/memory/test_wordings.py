"""The wordings are updated in place; the result never depends on the order of changes."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest

from guardedit.memory.wordings import Wordings, similarity

DIM = 16


class _Hashed:
    """Unit rows that depend on the text alone; records the texts that it encodes."""

    dim, sha256 = DIM, "hashed"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts):
        self.encoded += texts
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIM) for text in texts]
        found = np.asarray(rows, dtype=np.float32).reshape(len(texts), DIM)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def by_relation(wordings: Wordings, question: np.ndarray) -> dict[str, float]:
    found = wordings.cosines(question)
    return {relation: found.same(relation, 0) for relation in found.relations}


def test_after_any_changes_the_table_equals_a_fresh_one():
    rng, encoder = random.Random(0), _Hashed()
    wordings, facts = Wordings(encoder), []
    question = encoder.encode(["what is asked"])
    for _ in range(400):
        if facts and rng.random() < 0.45:
            wordings.remove(*facts.pop(rng.randrange(len(facts))))
        else:
            fact = (f"P{rng.randrange(12)}", tuple(f"someone w{rng.randrange(150)}" for _ in range(3)))
            wordings.add(*fact)
            facts.append(fact)
    fresh = Wordings(encoder)
    for fact in facts:
        fresh.add(*fact)
    assert by_relation(wordings, question) == pytest.approx(by_relation(fresh, question), abs=1e-6)
    assert set(by_relation(wordings, question)) == {relation for relation, _ in facts}
    assert similarity("P1", [wordings.cosines(question)], [0]) == pytest.approx(
        similarity("P1", [fresh.cosines(question)], [0]), abs=1e-6
    )
    for relation, texts in facts:
        assert np.array_equal(wordings.vectors(relation, texts), encoder.encode(texts))


def test_a_change_encodes_its_own_wordings_and_no_other():
    encoder = _Hashed()
    wordings = Wordings(encoder)
    for n in range(100):
        wordings.add(f"P{n % 5}", [f"someone {n}", f"someone else {n}"])
    encoder.encoded.clear()
    wordings.add("P1", ["someone 1", "someone new"])
    wordings.remove("P2", ["someone 2", "someone else 2"])
    wordings.cosines(np.ones((1, DIM), dtype=np.float32))
    assert encoder.encoded == ["someone new"]


def test_without_wordings_nothing_is_similar():
    wordings = Wordings(_Hashed())
    wordings.add("P1", ["someone"])
    wordings.remove("P1", ["someone"])
    found = similarity("P1", [wordings.cosines(np.ones((2, DIM), dtype=np.float32))], [0, 1])
    assert found == (-1.0, -1.0, 0)


@pytest.mark.parametrize("relations", [1, 3, 500, 20_000])
def test_among_many_wordings_the_best_of_a_relation_and_of_its_rivals_are_found(relations):
    encoder, count = _Hashed(), 20_000
    texts = [f"someone {n}" for n in range(count)]
    rows = encoder.encode(texts)
    wordings = Wordings(encoder)
    with wordings.filling(count):
        wordings.add_all(
            [(f"P{n % relations}", [text]) for n, text in enumerate(texts)],
            dict(zip(texts, rows, strict=True)),
        )
    questions = encoder.encode([f"question {n}" for n in range(40)])
    found = wordings.cosines(questions)
    right = 0
    for row, question in enumerate(questions):
        cosines, relation = rows @ question, f"P{row % relations}"
        of_it = np.arange(count) % relations == row % relations
        same, rival, others = similarity(relation, [found], [row])
        right += same == pytest.approx(float(cosines[of_it].max()), abs=1e-5)
        wanted = float(cosines[~of_it].max()) if relations > 1 else -1.0
        right += rival == pytest.approx(wanted, abs=1e-5)
        assert others == relations - 1
        assert same <= cosines[of_it].max() + 1e-5
    assert right == 2 * 40


def test_the_wording_of_a_relation_nearest_to_a_question_is_found_whoever_brought_it(encoder):
    wordings = Wordings(encoder)
    wordings.add("P127", ["someone is owned by"])
    wordings.add("P127", ["All shares of someone are held by"])
    wordings.add("P50", ["The shares of someone were written by"])
    asked = encoder.encode(["Who holds all shares of someone?", "Who is someone owned by?"])
    assert wordings.nearest("P127", asked[:1]) == "All shares of someone are held by"
    assert wordings.nearest("P127", asked[1:]) == "someone is owned by"
    wordings.remove("P127", ["All shares of someone are held by"])
    assert wordings.nearest("P127", asked[:1]) == "someone is owned by"
