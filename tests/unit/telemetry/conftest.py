"""A ledger that counted a little, and structlog as the next test expects to find it."""

from __future__ import annotations

import pytest
import structlog

from guardedit.core.ledger import Counts


@pytest.fixture
def counts():
    return Counts(
        corrections={
            ("wiki", "memory", "accepted"): 7,
            ("wiki", "weights", "accepted"): 5,
            ("stranger", "memory", "accepted"): 2,
            ("impostor", "memory", "accepted"): 1,
            ("wiki", "", "dead_lettered"): 3,
        },
        gates={("perplexity_ratio", "accept"): 4, ("perplexity_ratio", "reject"): 1},
        rollbacks={"drift": 1, "meteorite": 2},
        facts={"memory": 9, "weights": 4},
        trials={"accept": 4, "reject": 1},
        dead_letters=3,
        inbox_waiting=2,
        inbox_oldest_s=12.5,
        serving_epoch=41,
        epoch_created_at_s=1_700_000_000.0,
        edits_live=4,
        tensors_repaired=2,
    )


@pytest.fixture
def plain_structlog():
    """Whatever a test configures is gone afterwards."""
    yield
    structlog.reset_defaults()
