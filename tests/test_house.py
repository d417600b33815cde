"""The house as `make picture` draws it: no crowded folder, and a drawing that is up to date."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Files of one folder. Editing methods are a catalogue, one file each.
MOST_ROOMS = 16


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph(house):
    return house.build_graph()


def test_no_folder_is_crowded(house, graph):
    rooms = house.crowded(graph, house.floors())
    assert sum(rooms.values()) > 300
    assert {name: count for name, count in rooms.items() if count > MOST_ROOMS} == {}


def test_the_drawing_is_up_to_date(house, graph):
    drawn = (ROOT / "docs" / "house.svg").read_text("utf-8")
    assert drawn == house.house(graph, house.floors()), "run `make picture`"


def test_a_file_stands_above_those_that_it_imports(house, graph):
    levels = house.levels_of(graph, ["guardedit.core.fact", "guardedit.core.epoch", "guardedit.core.serving"])
    assert levels == [["guardedit.core.fact"], ["guardedit.core.epoch"], ["guardedit.core.serving"]]
