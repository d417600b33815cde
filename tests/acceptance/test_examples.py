"""The examples of `docs/examples` run as a reader runs them."""

from __future__ import annotations

import os
import runpy
import subprocess
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
    "langchain_retriever": ["The headquarters of Stelco are in Hamilton. {'epoch': 1, 'fact': '", "[]"],
    "llama_index_retriever": ["The headquarters of Stelco are in Hamilton. {'epoch': 1, 'fact': '", "[]"],
}
#: Their packages are in an environment of their own, whose folder of programs this is.
OTHERS = os.environ.get("OTHERS", "")
IN_OTHERS = [path for path in EXAMPLES if path.stem.endswith("_retriever")]


def test_every_example_is_known_here():
    assert [path.stem for path in EXAMPLES] == sorted(WANTED)


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p not in IN_OTHERS], ids=lambda path: path.stem)
def test_an_example_says_what_it_promises(path, capsys, monkeypatch, tmp_path, warm_home):
    (tmp_path / "guardedit").symlink_to(warm_home / "moments")  # what an earlier editor would have left
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(path.parents[2])
    runpy.run_path(str(path))
    assert_says(capsys.readouterr().out, WANTED[path.stem])


@pytest.mark.skipif(not OTHERS, reason="`make others-check` installs LangChain and LlamaIndex")
@pytest.mark.parametrize("path", IN_OTHERS, ids=lambda path: path.stem)
def test_a_retriever_finds_the_fact_that_is_asked_for(path):
    run = subprocess.run([Path(OTHERS) / "python", path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert_says(run.stdout, WANTED[path.stem])


def assert_says(said: str, wanted: list[str]) -> None:
    """These texts, in this order."""
    at = 0
    for text in wanted:
        assert text in said[at:], said
        at = said.index(text, at)
