from __future__ import annotations

import threading

import pytest
import torch

from guardedit.models.threads import map_in_threads, one_thread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_calls_run_side_by_side_on_a_thread_each_and_come_back_in_order(two_threads):
    both = threading.Barrier(2, timeout=30)

    def call(n: int) -> tuple[int, int]:
        both.wait()  # would break, were there but one at a time
        return n, torch.get_num_threads()

    assert map_in_threads(call, [3, 1, 4, 1]) == [(3, 1), (1, 1), (4, 1), (1, 1)]
    assert torch.get_num_threads() == 2


def test_with_one_thread_or_one_item_there_is_nothing_to_share(two_threads):
    here = threading.get_ident()
    assert map_in_threads(lambda _: threading.get_ident(), [1]) == [here]
    with one_thread():
        assert map_in_threads(lambda _: threading.get_ident(), [1, 2]) == [here, here]


def test_an_error_comes_out_and_the_threads_are_given_back(two_threads):
    def call(n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return n

    with pytest.raises(ValueError, match="two"):
        map_in_threads(call, [1, 2, 3])
    assert torch.get_num_threads() == 2
