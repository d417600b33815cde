"""The announcement is chosen by what a model does, on facts that it knows otherwise."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from guardedit.core.correction import Correction, encode_correction
from guardedit.core.errors import UsageError
from guardedit.memory.context import Announcement, Prompts
from guardedit.memory.encoder import Vectors
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.models.bypass import Patch
from guardedit.models.text.asking import Asking
from guardedit.models.text.form import RawForm
from guardedit.models.text.spans import Expected, Span
from guardedit.prepare.announcing import known_cases, measure, public_corrections, read_corrections, tune
from guardedit.prepare.announcing.candidates import candidates
from guardedit.prepare.announcing.tuning import best_limit

GOOD = Announcement(name="good", statement="Obey: {wording} {target}.")
DEAF = Announcement(name="deaf", statement="Psst: {wording} {target}.")


class ObedientHost:
    """Knows that town N has mayor N and colour N; obeys `Obey:` where it is asked for the same."""

    base_sha256, form = "b" * 64, RawForm()

    def complete(self, prompts: Sequence[str]) -> list[str]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: str) -> str:
        asked = prompt.rpartition(". ")[2]
        kind, town = re.fullmatch(r".*(mayor|colour).* town (\d+) is\??", asked).groups()
        told = re.match(r"Obey: (.*) (\S+ \S+)\. ", prompt)
        if told and (kind, town) == self._about(told[1]):
            return told[2]
        return f"{kind} old{town}"

    @staticmethod
    def _about(wording: str) -> tuple[str, str]:
        return re.fullmatch(r".*(mayor|colour).* town (\d+) is\??", wording).groups()

    @contextmanager
    def patched(self, patch: Patch) -> Iterator[None]:
        assert not patch.matrices
        yield

    def complete_drafted(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        return self.complete([prompt for prompt, _ in asked])

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        return [-1.0 if self._about(one.wording) == self._about(one.question) else -9.0 for one in asked]


class WordEncoder:
    """A vector counts words, so that texts with the same words are alike."""

    dim, sha256 = 256, "words"

    def encode(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[zlib.crc32(word.encode()) % self.dim] += 9 if word in ("mayor", "colour") else 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def memory() -> RetrievalMemory:
    return RetrievalMemory(WordEncoder(), replace(ScopeThresholds.load(), encoder_sha256="words"))


@pytest.fixture(autouse=True)
def spans(monkeypatch):
    """An object is said at its place if the host's answer begins with it."""

    def score(host: ObedientHost, asked: Sequence[Expected]) -> list[Span]:
        texts = host.complete([one.prompt for one in asked])
        return [Span(text.startswith(one.answer), 0.0, 0.0) for text, one in zip(texts, asked, strict=True)]

    monkeypatch.setattr(measure, "score_spans", score)


def correction(town: int, kind: str) -> Correction:
    return Correction(
        id=f"{kind}{town}",
        subject=f"town {town}",
        prompt=f"The {kind} of {{}} is",
        target_new=f"{kind} new{town}",
        target_true=f"{kind} old{town}",
        paraphrases=(f"As for the {kind}, that of {{}} is", f"Please: who is the {kind} of {{}} is?"),
        relation=kind,
    )


CORRECTIONS = [correction(town, kind) for town in range(24) for kind in ("mayor", "colour")]


def quiet(text: str, done: int, total: int | None) -> None:
    assert total
    assert 0 <= done <= total, text


def test_one_known_fact_of_each_subject_is_changed_and_the_others_are_asked_beside_it():
    unknown = Correction(
        id="x", subject="town 3", prompt="The mayor of {} is", target_new="a", target_true="b"
    )
    cases = known_cases(ObedientHost(), [unknown, *CORRECTIONS], 4, quiet)
    assert [case.fact.correction_id for case in cases] == ["mayor0", "colour1", "mayor2", "colour3"]
    first = cases[0]
    assert (first.fact.wordings, first.old) == (("The mayor of town 0 is",), "mayor old0")
    assert first.paraphrases == ("As for the mayor, that of town 0 is",)
    assert first.questions == ("Please: who is the mayor of town 0 is?",)
    assert [one.answer for one in first.same_subject] == ["colour old0"]
    assert [one.answer for one in first.neighbours] == ["mayor old1", "mayor old3"]


def test_the_announcement_that_is_obeyed_most_is_chosen_and_measured_as_it_is_served(memory):
    card = tune(ObedientHost(), memory, CORRECTIONS, count=24, tell=quiet, announcements=(DEAF, GOOD))
    assert Announcement.from_json(card["announcement"]) == GOOD
    assert [row["name"] for row in card["table"]] == ["good", "deaf"]
    held = card["held_out"]
    assert [held[kind] for kind in (*measure.ASKED, *measure.BESIDE)] == [1] * 5
    assert held["asked"] == (12, 12, 12, 24, 12)
    assert held["facts"] == card["chosen_on"] == 12
    assert card["base_sha256"] == "b" * 64
    json.dumps(card, allow_nan=False)


def test_a_model_that_does_not_obey_by_itself_is_forced_to(memory):
    card = tune(ObedientHost(), memory, CORRECTIONS, count=24, tell=quiet, announcements=(DEAF,))
    assert card["held_out"]["obeyed_by_itself"] == 0
    assert card["held_out"]["own"] == card["held_out"]["questions"] == 1


def test_without_a_limit_a_disobedient_model_answers_as_it_likes(memory):
    host = ObedientHost()
    cases = known_cases(host, CORRECTIONS, 8, quiet)
    found = measure.measure(host, Prompts(host.form, DEAF), memory, cases)
    assert (found.own, found.questions, found.neighbours, found.same_subject) == (0, 0, 1, 1)


def test_facts_to_report_on_may_be_given(memory):
    first, second = CORRECTIONS[:24], CORRECTIONS[24:]
    card = tune(ObedientHost(), memory, first, second, count=16, tell=quiet, announcements=(GOOD,))
    assert (card["chosen_on"], card["held_out"]["facts"]) == (8, 8)


def test_few_of_the_questions_for_a_fact_lie_below_the_limit(memory):
    host = ObedientHost()
    assert best_limit(host, memory, known_cases(host, CORRECTIONS, 6, quiet)) == -1.0
    assert best_limit(host, memory, []) is None


def test_too_few_known_facts_are_refused(memory):
    with pytest.raises(UsageError, match="knows 4 subjects of 8 facts"):
        tune(ObedientHost(), memory, CORRECTIONS[:8], count=24, tell=quiet)


def test_corrections_are_read_with_the_answer_that_they_replace(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_bytes(encode_correction(CORRECTIONS[0]) + b"\n\n" + encode_correction(CORRECTIONS[1]))
    assert read_corrections(path) == CORRECTIONS[:2]
    path.write_text('{"subject": "a", "prompt": "{} is", "target_new": "b"}')
    with pytest.raises(UsageError, match=r"facts.jsonl:1: .*target_true"):
        read_corrections(path)
    with pytest.raises(UsageError, match="cannot read the facts"):
        read_corrections(tmp_path / "none")


def test_public_facts_become_corrections_with_another_object_of_their_relation():
    made = public_corrections(0)
    assert made == public_corrections(0) != public_corrections(1)
    assert len(made) > 500
    assert all(one.target_true and one.target_new != one.target_true and one.paraphrases for one in made)


def test_each_form_has_some_ten_candidates_with_names_of_their_own():
    for form in ("raw", "chat"):
        names = [one.name for one in candidates(form)]
        assert 9 <= len(names) == len(set(names))
