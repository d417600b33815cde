"""The examples of `docs/examples` run as a reader runs them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.py"))

#: What a reader must see, in this order.
WANTED = {
    "edit_a_loaded_model": [
        "edited: Hamilton",
        "1 of 1 corrections hold",
        "joint: 'Hamilton",
        "grace: 'Hamilton",
    ],
    "keep_a_model_current": [
        "accepted - ",
        "Hamilton (epoch ",
        "weights The headquarters of Stelco are in Hamilton.",
        "('Stelco', 'memory')",
        "model.safetensors",
    ],
}


def test_every_example_is_known_here():
    assert [path.stem for path in EXAMPLES] == sorted(WANTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_promises(path, capsys, monkeypatch, tmp_path, warm_home):
    (tmp_path / "guardedit").symlink_to(warm_home / "moments")  # what an earlier editor would have left
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(path.parents[2])
    runpy.run_path(str(path))
    said, at = capsys.readouterr().out, 0
    for text in WANTED[path.stem]:
        assert text in said[at:], said
        at = said.index(text, at)
