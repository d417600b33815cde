from __future__ import annotations

import itertools
import math

import pytest

from guardedit.core.messages import Fate
from guardedit.demo.assess.times import percentile, time_until_live
from guardedit.ledger.sqlite_ledger import SqliteLedger


def test_percentiles_are_measured_values():
    values = [float(n) for n in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([4.0], 0.99) == 4.0
    assert math.isnan(percentile([], 0.5))


def test_it_is_the_time_between_inbox_and_epoch_of_accepted_corrections_only(tmp_path, make, story_of):
    seconds = itertools.count(100.0, 0.5)
    with SqliteLedger.open(
        tmp_path, base_sha256="base", policy_sha256="p", weights_sha256="base", clock=lambda: next(seconds)
    ) as ledger:
        story = story_of(ledger)
        for n in range(4):
            story.accept(make.correction(n))
        story.settle(make.correction(9), fate=Fate.HELD)
        found = time_until_live(ledger)
        rows = {row.seq: row for row in ledger.entries(Fate.ACCEPTED, limit=-1)}
        took = [ledger.epoch(row.epoch).created_at_s - row.received_at_s for row in rows.values()]
    assert found.corrections == 4
    assert found.longest_s == pytest.approx(max(took))
    assert 0.0 < found.p50_s <= found.p99_s <= found.longest_s


def test_of_no_correction_it_is_undefined(story):
    found = time_until_live(story.ledger)
    assert math.isnan(found.p50_s)
    assert found.corrections == 0
