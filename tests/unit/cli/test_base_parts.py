"""A changed base on the command line, and commands that read the home folder and write nothing to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from guardedit import assembly
from guardedit.core.errors import WrongBaseModel
from guardedit.policy.load import load_policy
from guardedit.runtime.local import LocalSystem
from guardedit.settings import Settings
from tests.conformance.editor_bench import BACKGROUND, SENTENCES
from tests.tiny_models import CARDED, byte_tokenizer

POLICY = Path(__file__).parents[3] / "policies" / "default.yaml"


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Path:
    """A tiny model, and a home folder in which a coordinator has started once."""
    folder = tmp_path_factory.mktemp("started")
    tokenizer = byte_tokenizer(SENTENCES)
    CARDED["gpt2"](len(tokenizer)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    question = {"subject": "Peru", "relation": "speaks", "prompt": "Peru speaks", "answer": "Spanish"}
    probes = {"texts": list(SENTENCES), "questions": [question]}
    (folder / "model" / "probes.json").write_text(json.dumps(probes))
    (folder / "model" / "background.json").write_text(json.dumps(BACKGROUND * 4))
    (folder / "model" / "edit_card.json").write_text('{"layer": 1, "layers": [0, 1]}')
    settings = Settings(home=folder / "home", model=str(folder / "model"), metrics=None)
    with LocalSystem(settings, load_policy(POLICY)) as system:
        assert system.step().idle
    return folder


@pytest.fixture
def model(started, home, monkeypatch) -> Path:
    """The model's folder; its home folder is `home`."""
    shutil.copytree(started / "home", home)
    shutil.copytree(started / "model", home.parent / "model")
    monkeypatch.setenv("GUARDEDIT_MODEL", str(home.parent / "model"))
    monkeypatch.setenv("GUARDEDIT_METRICS", "off")
    return home.parent / "model"


def change(path: Path) -> None:
    path.write_text(path.read_text() + " ")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """The folder and everything below."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in [folder, *folder.rglob("*")]
    }


def test_a_changed_part_stops_the_start_and_verify_names_it(guardedit, model, home):
    path = model / "tokenizer_config.json"
    change(path)

    result = guardedit("run", "--once")
    verified = guardedit("verify")
    asked = guardedit("ask", "Peru speaks")
    undone = guardedit("epochs", "rollback", "0")

    for refused in (result, asked, undone):
        assert (refused.code, refused.out) == (1, "")
        assert f"tokenizer/tokenizer_config.json: {path} is " in refused.err
        assert "guardedit base accept tokenizer/tokenizer_config.json" in refused.err
        assert len(refused.err.splitlines()) == 1
    assert verified.code == 1
    assert verified.lines[0].startswith(f"base: tokenizer/tokenizer_config.json: {path} is ")
    assert "recorded is" in verified.lines[0]
    with pytest.raises(WrongBaseModel, match="recorded is"):
        LocalSystem(Settings(home=home, model=str(model), metrics=None), load_policy(POLICY))


def test_a_change_that_is_accepted_is_the_base_from_then_on(guardedit, model):
    change(model / "probes.json")
    shown = {row["part"]: row["state"] for row in guardedit("base", "show", "-o", "json").json}
    assert [part for part, state in shown.items() if state == "changed"] == ["probes"]

    accepted = guardedit("base", "accept", "probes", "--by", "Ada", "-o", "json").json
    again = guardedit("base", "accept", "probes")

    assert accepted["part"] == "probes"
    assert accepted["found"] != accepted["recorded"]
    assert (again.code, "changed parts: none" in again.err) == (2, True)
    assert guardedit("verify").code == 0
    assert guardedit("run", "--once").code == 0
    table = guardedit("base", "show")
    assert "changed" not in table.out
    assert table.lines[0].split() == ["part", "state", "recorded", "found", "file"]


def test_another_model_is_named_as_such_and_not_accepted(guardedit, model):
    other = CARDED["llama"](len(byte_tokenizer(SENTENCES)))
    other.save_pretrained(model)

    refused = guardedit("run", "--once")
    accepted = guardedit("base", "accept", "weights", "config")

    assert "belongs to base model" in refused.err
    assert "use another folder for the new model" in refused.err
    assert (accepted.code, "use another folder for another model" in accepted.err) == (1, True)
    assert "name the right model with --model" in guardedit("verify").out


def test_before_the_first_start_there_is_no_base(guardedit):
    guardedit("submit", "-", stdin='{"subject": "Peru", "prompt": "{} speaks", "target_new": "Polish"}\n')
    for command in (["show"], ["accept", "probes"]):
        result = guardedit("base", *command)
        assert (result.code, "start `guardedit run` once" in result.err) == (2, True)


def test_reading_commands_collect_what_is_missing_elsewhere(guardedit, model, home):
    lost, *_ = sorted((home / "moments").rglob("*.safetensors"))
    lost.unlink()
    before = listing(home)

    assert guardedit("ask", "Peru speaks").code == 0
    assert guardedit("verify").code == 0
    assert guardedit("base", "show").code == 0

    assert listing(home) == before


def test_verify_names_second_moments_that_differ_when_collected_again(guardedit, model, home, monkeypatch):
    """As on another platform: what was lost is collected again and has another digest."""
    from guardedit.models.weights import second_moments

    lost, *_ = sorted((home / "moments").rglob("*.safetensors"))
    lost.unlink()
    real = second_moments.moments_from
    monkeypatch.setattr(second_moments, "moments_from", lambda C, *a, **k: real(C * (1 + 1e-9), *a, **k))

    verified = guardedit("verify")
    refused = guardedit("run", "--once")

    assert f"base: collected again, moments/{lost.name}: " in verified.out
    assert (refused.code, f"moments/{lost.name}: " in refused.err) == (1, True)


def test_a_borrowed_cache_leaves_the_home_folder_as_it_was(model, home):
    settings = Settings(home=home, model=str(model), metrics=None)
    before = listing(home)
    with assembly.borrowed_cache(settings) as cache:
        (first, *_) = sorted(cache.rglob("*.safetensors"))
        assert first.read_bytes()
        aside = first.with_name("aside")
        aside.write_bytes(b"other")
        aside.replace(first)
        assert first.read_bytes() == b"other"
    assert listing(home) == before
    assert not cache.exists()
