"""Training data about what the tiny models know, and settings that train for seconds."""

from __future__ import annotations

import pytest

from guardedit.editing.hyper.training_data import EditSampler, FactExample
from guardedit.editing.hyper.training_settings import TrainingSettings
from tests.unit.editing.conftest import CITIES, LANGUAGES, SENTENCES, SUBJECTS


@pytest.fixture(scope="session")
def sampler() -> EditSampler:
    """Languages and cities of the subjects, as they are and as they could be."""
    known = [
        FactExample(
            subject=subject,
            relation=relation,
            wordings=tuple(text.replace("{}", subject) for text in wordings),
            old=values[place],
            targets=tuple(value for value in values if value != values[place]),
        )
        for i, subject in enumerate(SUBJECTS)
        for relation, wordings, values, place in (
            ("language", ("The mother tongue of {} is", "{} speaks"), LANGUAGES, i % 3),
            ("city", ("{} was born in", "The city of {} is"), CITIES, i // 3),
        )
    ]
    return EditSampler(tuple(known), SENTENCES)


@pytest.fixture
def training_settings() -> TrainingSettings:
    return TrainingSettings(steps=8, edits=4, warmup=1, validate_every=4, validation=4)
