"""The small world, for whatever asks about facts without a model."""

from __future__ import annotations

import pytest

from guardedit.zoo.world import World
from tests.small_world import small_world


@pytest.fixture(scope="session")
def world() -> World:
    return small_world()
