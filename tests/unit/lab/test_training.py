from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.training import default_folder, training_data
from guardedit.settings import Settings


def test_only_the_demo_model_needs_no_training_data(tmp_path):
    assert training_data(Settings(metrics=None), None) is None
    other = Settings(model=str(tmp_path), metrics=None)
    with pytest.raises(UsageError, match=r"give --data FILE\.jsonl"):
        training_data(other, None)
    with pytest.raises(UsageError, match="cannot read the training data"):
        training_data(other, tmp_path / "missing.jsonl")
    assert default_folder(other) == tmp_path / "editors"
