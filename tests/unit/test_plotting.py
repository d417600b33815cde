"""Pictures need matplotlib, which is an optional dependency."""

from __future__ import annotations

import sys

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.editors.picture import draw_comparison
from guardedit.plotting import load_pyplot


def test_without_matplotlib_a_picture_names_the_extra_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'guardedit\[plots\]'"):
        load_pyplot()
    with pytest.raises(UsageError, match="matplotlib"):
        draw_comparison(tmp_path / "curves.png", [], title="none")
    assert not (tmp_path / "curves.png").exists()


def test_with_matplotlib_no_display_is_needed():
    pyplot = load_pyplot()
    assert pyplot.get_backend().lower() == "agg"
