"""The announcement is chosen by what a model does, on facts that it knows otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from guardedit.core.correction import Correction, encode_correction
from guardedit.core.errors import UsageError
from guardedit.memory.context import Announcement
from guardedit.models.text.asking import Asking
from guardedit.models.text.form import RawForm
from guardedit.prepare.announcing import known_cases, public_corrections, read_corrections, tune
from guardedit.prepare.announcing.candidates import candidates
from guardedit.prepare.announcing.measure import best_limit

GOOD = Announcement(name="good", statement="Obey: {wording} {target}.")
LOUD = Announcement(name="loud", statement="OBEY! {wording} {target}.")
DEAF = Announcement(name="deaf", statement="Psst: {wording} {target}.")


class ObedientHost:
    """Knows that town N has mayor N and colour N; obeys `Obey:` in its own wording, `OBEY!` everywhere."""

    base_sha256, form = "b" * 64, RawForm()

    def complete(self, prompts: Sequence[str]) -> list[str]:
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: str) -> str:
        asked = prompt.rpartition(". ")[2]
        kind, town = re.fullmatch(r".*(mayor|colour).* town (\d+) is", asked).groups()
        told = re.match(r"(Obey:|OBEY!) (.*) (\S+ \S+)\. ", prompt)
        if told and (told[1] == "OBEY!" or (kind, town) == self._about(told[2])):
            return told[3]
        return f"{kind} old{town}"

    @staticmethod
    def _about(wording: str) -> tuple[str, str]:
        return re.fullmatch(r".*(mayor|colour).* town (\d+) is", wording).groups()

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        return [-1.0 if self._about(one.wording) == self._about(one.question) else -9.0 for one in asked]


def correction(town: int, kind: str) -> Correction:
    return Correction(
        id=f"{kind}{town}",
        subject=f"town {town}",
        prompt=f"The {kind} of {{}} is",
        target_new=f"{kind} new{town}",
        target_true=f"{kind} old{town}",
        paraphrases=(f"As for the {kind}, that of {{}} is",),
        relation=kind,
    )


CORRECTIONS = [correction(town, kind) for town in range(12) for kind in ("mayor", "colour")]


def quiet(text: str, done: int, total: int | None) -> None:
    assert total
    assert 0 <= done <= total, text


def test_only_facts_that_the_model_knows_are_used_with_questions_beside_them():
    unknown = Correction(
        id="x", subject="town 3", prompt="The mayor of {} is", target_new="a", target_true="b"
    )
    cases = known_cases(ObedientHost(), [unknown, *CORRECTIONS], 5, quiet)
    assert [case.fact.correction_id for case in cases] == [one.id for one in CORRECTIONS[:5]]
    first = cases[0]
    assert first.fact.wordings == ("The mayor of town 0 is",)
    assert [one.answer for one in first.same_subject] == ["colour old0"]
    assert [one.answer for one in first.neighbours] == ["mayor old1", "mayor old2"]


def test_the_announcement_that_is_obeyed_and_leaves_others_alone_is_chosen():
    card = tune(ObedientHost(), CORRECTIONS, count=24, tell=quiet, announcements=(DEAF, LOUD, GOOD))
    assert Announcement.from_json(card["announcement"]) == GOOD
    assert [row["name"] for row in card["table"]] == ["good", "deaf", "loud"]
    held = card["held_out"]
    assert (held["own"], held["paraphrase"], held["neighbours"], held["same_subject"]) == (1, 1, 1, 1)
    assert held["facts"] == card["chosen_on"] == 12
    assert card["base_sha256"] == "b" * 64
    json.dumps(card, allow_nan=False)


def test_a_model_that_does_not_obey_is_reported_with_and_without_force():
    card = tune(ObedientHost(), CORRECTIONS, count=24, tell=quiet, announcements=(DEAF,))
    assert card["held_out_without_force"]["own"] == 0
    assert card["held_out"]["own"] == card["held_out"]["paraphrase"] == 1


def test_the_limit_lies_between_paraphrases_and_other_questions():
    host = ObedientHost()
    assert best_limit(host, known_cases(host, CORRECTIONS, 6, quiet)) == -5.0
    assert best_limit(host, []) is None


def test_too_few_known_facts_are_refused():
    with pytest.raises(UsageError, match="knows 8 of 8 facts"):
        tune(ObedientHost(), CORRECTIONS[:8], count=24, tell=quiet)


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
