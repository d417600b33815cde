from __future__ import annotations

import os

import pytest

from guardedit.demo.isolation import MOST_WORKERS, isolated
from guardedit.settings import Address, Settings


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (64, MOST_WORKERS), (None, 1)])
def test_the_demo_uses_no_network_and_a_worker_for_each_core(monkeypatch, cores, workers):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    given = Settings(metrics=Address("0.0.0.0", 1), redis_url="redis://broker", ray_address="cluster:1")

    found = isolated(given)

    assert (found.metrics, found.redis_url, found.ray_address) == (None, "", "")
    assert found.model_workers == workers


def test_more_workers_stay_when_they_are_asked_for():
    assert isolated(Settings(model_workers=9)).model_workers == 9
