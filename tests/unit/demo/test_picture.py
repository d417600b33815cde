"""The picture of a run, with and without matplotlib, which is an optional dependency."""

from __future__ import annotations

import math
import sys

import pytest

from guardedit.core.errors import UsageError
from guardedit.demo.picture import draw
from guardedit.demo.run import DemoRun
from guardedit.demo.timeline import timeline
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, shipped_policy


class Screen:
    """Remembers the stages."""

    title = "a run"

    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


@pytest.fixture
def points(story, make):
    facts = [story.accept(make.correction(n)) for n in range(3)]
    story.promote(facts[0], ratio=1.01)
    story.reject(facts[1], "too much", ratio=7.5)
    return timeline(story.ledger)


@pytest.fixture
def draw_run(points, tmp_path):
    """Draws the picture of a demo run; returns its path, or None, and what was shown."""

    def run():
        screen = Screen()
        demo = DemoRun(Settings(home=tmp_path), screen, corrections=40, seed=0)
        policy = load_policy(shipped_policy("demo.yaml"))
        return demo._draw(tmp_path / "demo.png", points, policy, {}), screen.stages

    return run


def test_the_picture_is_a_png_with_and_without_the_comparison(points, tmp_path):
    curves = {"guard off": [(20, 1.5), (40, math.inf)], "original ROME": [(3, 1.2)]}
    for name, curve in (("a.png", None), ("b.png", curves)):
        path = tmp_path / name
        draw(path, points, title="a run", limits={"limit": 1.03}, unguarded=curve)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000


def test_a_run_has_a_picture_where_matplotlib_is_installed(draw_run, tmp_path):
    picture, stages = draw_run()
    assert picture == tmp_path / "demo.png"
    assert picture.is_file()
    assert stages == ["drawing the picture"]


def test_a_run_without_matplotlib_skips_the_picture_and_says_so_in_one_line(monkeypatch, draw_run, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    picture, stages = draw_run()
    assert picture is None
    assert not (tmp_path / "demo.png").exists()
    assert stages[1:] == ["picture skipped: pictures need matplotlib: pip install 'guardedit[plots]'"]


def test_the_picture_by_itself_names_the_extra_to_install(monkeypatch, points, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'guardedit\[plots\]'"):
        draw(tmp_path / "a.png", points, title="a run", limits={})
