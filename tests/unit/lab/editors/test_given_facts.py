from __future__ import annotations

import json

import pytest

from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.guard import ProbeSet
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.editors.given_facts import given_cases, read_corrections, split_paraphrases

LINE = {
    "id": "1",
    "subject": "Peru",
    "relation": "capital",
    "prompt": "{}'s capital is",
    "target_new": "Oslo",
}


def known(subject: str, relation: str, answer: str) -> KnownQuestion:
    return KnownQuestion(subject, relation, f"The {relation} of {subject} is", answer)


@pytest.fixture
def probes() -> ProbeSet:
    questions = [known(f"Land {n}", "capital", f"City {n}") for n in range(9)]
    questions += [known(f"Land {n}", "language", "Latin") for n in range(9)]
    questions += [known("Peru", "capital", "Lima"), known("Peru", "language", "Spanish")]
    return ProbeSet(("A text.",), tuple(questions))


def write(path, *lines):
    path.write_text("\n".join(json.dumps(line) if isinstance(line, dict) else line for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("not json",), "facts.jsonl:1: not a JSON object"),
        ((LINE, "", {**LINE, "op": "retract"}), "facts.jsonl:3: a retraction"),
        (("", ""), "contains no corrections"),
    ],
)
def test_a_line_that_is_no_edit_is_named(tmp_path, lines, problem):
    with pytest.raises(UsageError, match=problem):
        read_corrections(write(tmp_path / "facts.jsonl", *lines))


def test_the_last_line_about_a_fact_counts(tmp_path):
    path = write(tmp_path / "facts.jsonl", LINE, {**LINE, "id": "2", "target_new": "Bern"})
    assert [c.target_new for c in read_corrections(path)] == ["Bern"]


@pytest.mark.parametrize(("paraphrases", "given", "kept"), [(0, 1, 0), (1, 1, 1), (2, 2, 1), (5, 3, 3)])
def test_the_second_half_of_the_paraphrases_is_kept_for_asking(paraphrases, given, kept):
    texts = tuple(f"wording {n} of {{}}" for n in range(paraphrases))
    one = Correction(id="1", subject="Peru", prompt="{} is", target_new="T", paraphrases=texts)

    ours, theirs = split_paraphrases(one)

    assert (len(ours), len(theirs)) == (given, kept)
    assert ours + theirs == one.wordings


def test_questions_come_from_the_probe_set(tmp_path, probes):
    one, two = read_corrections(
        write(tmp_path / "facts.jsonl", LINE, {**LINE, "id": "2", "subject": "Land 3"})
    )

    first, second = given_cases([one, two], probes, seed=0)

    assert [k.answer for k in first.same_subject] == ["Spanish"]
    assert [q.relation for q in first.keep] == ["language"]
    assert {k.relation for k in first.other_subject[:5]} == {"capital"}
    assert not {"Peru", "Land 3"} & {k.subject for case in (first, second) for k in case.other_subject}
    assert {k.prompt for k in first.other_subject} != {k.prompt for k in second.other_subject}
