from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.bypasses.router import RouterBypass, merged, shard_changes
from guardedit.models.weights.factors import Factors, to_payload

D, F = 16, 24


def factors(*, shard=0, activation=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    numbers = {"activation": activation, "ratio": 0.5}
    extra = {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}
    extra |= {"shard": torch.tensor(shard)}
    left, right = torch.randn(D, 2, generator=generator), torch.randn(F, 2, generator=generator)
    return Factors.direct(kind="routed", layer=1, left=left, right=right, extra=extra)


def edit(part):
    return WeightEdit(subject="s", facts=("f",), method="test", payload=to_payload(part))


@pytest.fixture
def router():
    return RouterBypass(layer=0, change=torch.eye(2), threshold=1.0)


def routed(router, lengths, past=0):
    """Which tokens [B, T] get the side memory's output, from how much each excites it."""
    keys = torch.tensor(lengths)[..., None] * torch.tensor([1.0, 0.0])
    return router(keys, torch.full_like(keys, -1.0), past)[..., 0].ne(-1.0).tolist()


def test_the_memory_opens_at_the_token_that_excites_it_and_stays_open(router):
    assert routed(router, [[0.5, 2.0, 0.5]]) == [[False, True, True]]


def test_each_row_is_routed_by_itself(router):
    assert routed(router, [[2.0, 0.1], [0.1, 0.1]]) == [[True, True], [False, False]]


def test_it_stays_open_over_cached_steps_and_is_shut_for_the_next_text(router):
    routed(router, [[2.0, 0.1], [0.1, 0.1]])
    assert routed(router, [[0.1], [0.1]], 2) == [[True], [False]]
    assert routed(router, [[0.1], [2.0]], 3) == [[True], [True]]
    assert routed(router, [[0.1], [0.1]]) == [[False], [False]]


def test_rows_that_it_has_not_seen_begin_start_shut(router):
    routed(router, [[2.0, 2.0]])
    assert routed(router, [[0.1]], 7) == [[False]]


def test_padding_that_is_not_a_number_opens_nothing(router):
    assert routed(router, [[float("nan"), 0.1, 2.0]])[0][1:] == [False, True]


def test_edits_of_one_shard_add_up():
    parts = [factors(seed=0), factors(seed=1)]
    (change,) = shard_changes(parts).values()
    torch.testing.assert_close(change, sum(part.left.double() @ part.right.double().t() for part in parts))


def test_edits_of_two_shards_are_kept_apart():
    changes = shard_changes([factors(shard=3, seed=0), factors(shard=1, seed=1)])
    assert list(changes) == [1, 3]


def test_where_shards_meet_the_sign_of_the_sum_counts_and_its_entries_are_averaged():
    one = torch.tensor([[3.0, 1.0, 2.0, 0.0]])
    other = torch.tensor([[1.0, -4.0, 0.0, 0.0]])
    assert merged({0: one, 1: other}, density=1.0).tolist() == [[2.0, -4.0, 2.0, 0.0]]


def test_a_merge_drops_the_smallest_entries_and_a_single_shard_loses_nothing():
    one = torch.tensor([[4.0, 3.0, 0.1, 0.2]])
    assert merged({0: one, 1: torch.zeros(1, 4)}, density=0.5).tolist() == [[4.0, 3.0, 0.0, 0.0]]
    assert torch.equal(merged({0: one}, density=0.5), one)


def test_the_quietest_live_edit_sets_the_threshold(folding):
    loud, quiet = edit(factors(activation=4.0)), edit(factors(activation=1.0, seed=1))
    assert folding.fold([loud, quiet]).bypasses[0].threshold == 0.5
    assert folding.fold([loud]).bypasses[0].threshold == 2.0


def test_an_edit_without_a_shard_is_refused(folding):
    part = Factors.direct(kind="routed", layer=1, left=torch.ones(D), right=torch.ones(F))
    with pytest.raises(EditError, match="shard"):
        folding.fold([edit(part)])
