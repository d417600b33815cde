from __future__ import annotations

import json

import pytest

from guardedit.core.errors import UsageError
from guardedit.editing.hyper.training_data import EditSampler, read_examples
from tests.unit.editing.conftest import SUBJECTS


def subject_of(text: str) -> str:
    return next(subject for subject in SUBJECTS if subject in text)


def test_the_same_number_gives_the_same_samples_and_another_gives_others(sampler):
    assert sampler.draw(3, 4) == sampler.draw(3, 4)
    assert sampler.draw(3, 4) != sampler.draw(4, 4)


def test_subjects_that_are_set_aside_are_never_edited_nor_kept_in_training(sampler):
    aside = {subject_of(sample.request.prompt) for sample in sampler.validation(20)}
    taught = [sample for number in range(50) for sample in sampler.draw(number, 4)]
    assert aside
    assert not aside & {subject_of(sample.request.prompt) for sample in taught}


def test_a_sample_keeps_the_subjects_other_facts_and_other_subjects_as_they_are(sampler):
    known = {f"{wording} {e.old}." for e in sampler.examples for wording in e.wordings}
    for sample in sampler.draw(0, 30):
        assert sample.request.new != sample.request.old
        assert subject_of(sample.request.prompt) == subject_of(sample.paraphrase)
        *kept, ordinary = sample.kept
        assert set(kept) <= known
        assert ordinary
        assert all(sample.request.prompt not in text for text in kept)


def test_corrections_are_examples_when_they_say_what_is_true_now(tmp_path):
    path = tmp_path / "data.jsonl"
    full = {
        "subject": "Oslo", "prompt": "{} lies in", "paraphrases": ["Where is {}? In"],
        "target_new": "Peru", "target_true": "Norway", "relation": "country",
    }  # fmt: skip
    other = {name: full[name] for name in ("subject", "prompt", "target_new")}
    path.write_text("\n".join([json.dumps(full), "", json.dumps(other)]))
    (example,) = read_examples(path)
    assert example.wordings == ("Oslo lies in", "Where is Oslo? In")
    assert (example.old, example.targets) == ("Norway", ("Peru",))


def test_a_line_that_is_no_correction_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"subject": "Oslo"}\n')
    with pytest.raises(UsageError, match=r"data\.jsonl:1: prompt"):
        read_examples(path)
    with pytest.raises(UsageError, match="cannot read the training data"):
        read_examples(tmp_path / "none.jsonl")


def test_one_subject_is_too_few():
    with pytest.raises(UsageError, match="give at least two"):
        EditSampler(())
