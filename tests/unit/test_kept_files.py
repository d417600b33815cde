"""Moments, background text and edit cards: whenever writing is killed, what is kept is whole or absent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from guardedit import assembly
from guardedit.core.durable import replace_file
from guardedit.core.errors import StorageFull
from guardedit.core.probe import Question, QuestionKind
from guardedit.editing.edit_card import EditCard
from guardedit.editing.joint import directions
from guardedit.editing.joint.directions import LayerStatistics
from guardedit.editing.optimise.keys import keys_and_values_by_layer
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.background import background_texts
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import (
    SecondMoments,
    collect,
    moments_from,
    read_moments,
    save_moments,
)
from guardedit.settings import Settings
from tests.tiny_models import CARDED, byte_tokenizer

STEPS = ("write-half", "fsync", "rename", "dirsync")
BASE = "ab" * 32


def killed_at(point: str, write: Callable[[], object], monkeypatch) -> None:
    """Write in a child that dies at the point."""
    monkeypatch.setenv("GUARDEDIT_FAILPOINT", point)
    child = os.fork()
    if child == 0:
        try:
            write()
        finally:
            os._exit(1)  # it came through, or failed otherwise
    monkeypatch.delenv("GUARDEDIT_FAILPOINT")
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), point
    assert os.WTERMSIG(status) == signal.SIGKILL


def moments(scale: float) -> SecondMoments:
    return moments_from(
        torch.eye(4, dtype=torch.float64) * scale, torch.ones(3), layer=1, tokens=3, text_sha256="t"
    )


@pytest.mark.parametrize("step", STEPS)
def test_moments_are_the_old_or_the_new_ones(tmp_path, monkeypatch, step):
    path, old, new = tmp_path / "kept" / "moments.safetensors", moments(1.0), moments(2.0)
    killed_at(f"moments.{step}", lambda: save_moments(old, path), monkeypatch)
    first = read_moments(path)
    assert first is None if step != "dirsync" else first.sha256 == old.sha256
    save_moments(old, path)
    killed_at(f"moments.{step}", lambda: save_moments(new, path), monkeypatch)
    assert read_moments(path).sha256 == (new if step == "dirsync" else old).sha256
    save_moments(new, path)
    assert read_moments(path).sha256 == new.sha256


@pytest.mark.parametrize("step", STEPS)
def test_an_edit_card_is_the_old_or_the_new_one(tmp_path, monkeypatch, step):
    settings = Settings(home=tmp_path / "home", model=str(tmp_path), metrics=None)
    old, new = (EditCard(base_sha256=BASE, layer=n, layers=(n,)) for n in (1, 2))
    killed_at(f"card.{step}", lambda: assembly.write_card(settings, old), monkeypatch)
    assert assembly.find_card(settings, BASE) == (old if step == "dirsync" else None)
    assembly.write_card(settings, old)
    killed_at(f"card.{step}", lambda: assembly.write_card(settings, new), monkeypatch)
    assert assembly.find_card(settings, BASE) == (new if step == "dirsync" else old)


@pytest.fixture(scope="module")
def host() -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(CARDED["gpt2"](len(tokenizer)), tokenizer)


def sample(host: ModelHost, folder: Path) -> list[str]:
    return background_texts(host, ["Peru speaks Spanish."], tokens=8, folder=folder)


@pytest.mark.parametrize("step", STEPS)
def test_background_text_is_sampled_again_unless_it_is_whole(tmp_path, monkeypatch, host, step):
    texts = sample(host, tmp_path / "other")
    monkeypatch.setattr("guardedit.models.background.sample_prose", lambda *a, **k: [texts[0]])
    killed_at(f"background.{step}", lambda: sample(host, tmp_path / "kept"), monkeypatch)
    kept = list((tmp_path / "kept").rglob("background-*.json"))
    assert len(kept) == (step == "dirsync")
    assert sample(host, tmp_path / "kept") == sample(host, tmp_path / "fresh")


@pytest.mark.parametrize("damage", [b"", b'["cut', b'{"no": "list"}', b"[1]", b"\xff"])
def test_damaged_background_text_is_sampled_again_and_is_the_same(tmp_path, host, damage):
    texts = sample(host, tmp_path)
    (path,) = tmp_path.rglob("background-*.json")
    path.write_bytes(damage)
    assert sample(host, tmp_path) == texts
    path.unlink()
    assert sample(host, tmp_path) == texts


def test_a_disk_that_refuses_is_named_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old", step="any")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFull, match=f"cannot write {path}: .*No space left"):
        replace_file(path, b"new", step="any")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_synced_in_this_order(tmp_path, monkeypatch):
    seen: list[tuple[str, bool]] = []
    real = os.fsync

    def sync(handle: int) -> None:
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, (tmp_path / "file").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    replace_file(tmp_path / "file", b"new", step="any")
    assert seen == [(f".file.{os.getpid()}.part", False), (tmp_path.name, True)]


def threads_seen(host: ModelHost, run: Callable[[], object]) -> set[int]:
    """With how many threads the model ran; two are set around it."""
    seen: set[int] = set()
    hook = host.model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        hook.remove()
    return seen


def test_what_must_come_out_the_same_again_is_made_on_one_thread(tmp_path, host):
    """Whoever loses a file may have other threads than whoever made it."""
    assert threads_seen(host, lambda: sample(host, tmp_path)) == {1}
    moments = collect(host, ["Peru speaks Spanish. " * 8] * 16, [0], min_tokens=64)
    setup = Setup(
        host=host,
        fold=Fold(host, moments, background_weight=1.0, ridge=0.1),
        moments=moments,
        layer=0,
        layers=(0,),
        settings=EditSettings(),
        known=(
            Question(
                prompt="Peru speaks", kind=QuestionKind.OTHER_SUBJECT, expected="Spanish", subject="Peru"
            ),
        ),
        cache=tmp_path,
    )
    with pytest.MonkeyPatch.context() as patch:
        seen: list[int] = []
        patch.setattr(
            directions,
            "keys_and_values_by_layer",
            lambda *a, **k: seen.append(torch.get_num_threads()) or keys_and_values_by_layer(*a, **k),
        )
        threads_seen(host, lambda: LayerStatistics.of(setup))
    assert seen == [1]
