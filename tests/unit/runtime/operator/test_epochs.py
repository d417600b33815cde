from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.errors import UsageError
from guardedit.runtime.operator.epochs import epoch_record


def test_an_epoch_is_compared_with_the_one_before_it(ledger, change, make_fact):
    kept, old, gone = make_fact("A"), make_fact("B"), make_fact("C")
    change(kept, old, gone)
    new = replace(old, version=2, target="Oslo")
    change(new, removed=(gone.key,))

    record = epoch_record(ledger, 2)

    assert (record.changed, record.removed, record.facts) == ((new,), (gone.key,), 2)
    assert (record.epoch.number, record.verdict) == (2, None)


def test_epoch_0_has_nothing_before_it(ledger):
    record = epoch_record(ledger, 0)

    assert (record.changed, record.removed, record.facts) == ((), (), 0)


def test_an_unknown_epoch_is_a_usage_error(ledger):
    with pytest.raises(UsageError, match="no epoch 7"):
        epoch_record(ledger, 7)
