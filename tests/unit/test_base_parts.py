"""The base is everything that answers depend on: with any file changed nothing starts, and it is named."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guardedit import assembly
from guardedit.assembly.base_check import recorded_parts
from guardedit.core.errors import UsageError, WrongBaseModel
from guardedit.core.proposal import WeightEdit
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.models.weights.second_moments import read_moments, save_moments
from guardedit.settings import Settings
from tests.conformance.editor_bench import BACKGROUND, SENTENCES
from tests.tiny_models import CARDED, byte_tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory, policy) -> tuple[Path, str]:
    """A tiny model's folder with all that may lie in one, its moments beside it, and its digest."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = byte_tokenizer(SENTENCES)
    CARDED["gpt2"](len(tokenizer)).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    question = {"subject": "Peru", "relation": "speaks", "prompt": "Peru speaks", "answer": "Spanish"}
    beside = {
        "probes.json": {"texts": list(SENTENCES), "questions": [question]},
        "background.json": [*BACKGROUND * 4],
        "edit_card.json": {"layer": 1, "layers": [0, 1]},
        "special_tokens_map.json": {},
        "vocab.json": {},
    }
    for name, body in beside.items():
        (folder / "model" / name).write_text(json.dumps(body))
    (folder / "model" / "merges.txt").write_text("a b\n")
    (folder / "model" / "chat_template.jinja").write_text("{{ messages }}\n")
    (folder / "model" / "README.md").write_text("It is small.\n")
    settings = Settings(home=folder / "home", model=str(folder / "model"), metrics=None)
    return folder, assembly.load_setup(settings, policy).host.base_sha256


@pytest.fixture
def settings(made, tmp_path) -> Settings:
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path / "home", model=str(tmp_path / "model"), metrics=None)


@pytest.fixture
def ledger(settings, made) -> Iterator[SqliteLedger]:
    """Of a coordinator that has started once."""
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(settings, ledger)
        yield ledger


def put_edit(ledger: SqliteLedger) -> None:
    edit = WeightEdit(subject="Peru", facts=("f1",), method="ridge", payload=b"payload")
    ledger.commit([], kind="promote", reason="one", edits=[edit], weights_sha256="w1", expected=0)


def bases(ledger: SqliteLedger) -> int:
    return len(ledger.events(kinds=("base",)))


#: Part -> where it lies beside the home folder.
FILES = {
    "weights/model.safetensors": "model/model.safetensors",
    "config": "model/config.json",
    "generation_config": "model/generation_config.json",
    "tokenizer/tokenizer.json": "model/tokenizer.json",
    "tokenizer/tokenizer_config.json": "model/tokenizer_config.json",
    "tokenizer/special_tokens_map.json": "model/special_tokens_map.json",
    "tokenizer/vocab.json": "model/vocab.json",
    "tokenizer/merges.txt": "model/merges.txt",
    "chat_template/chat_template.jinja": "model/chat_template.jinja",
    "probes": "model/probes.json",
    "background": "model/background.json",
    "edit_card": "model/edit_card.json",
}
#: Part -> a file that was not there.
APPEARING = {
    "weights/adapter_config.json": "model/adapter_config.json",
    "weights/model-00002-of-00002.safetensors": "model/model-00002-of-00002.safetensors",
    "tokenizer/added_tokens.json": "model/added_tokens.json",
    "tokenizer/spiece.model": "model/spiece.model",
    "chat_template/additional_chat_templates/tool.jinja": "model/additional_chat_templates/tool.jinja",
}


@pytest.mark.parametrize("begun", ["nothing", "a file", "a file in WAL mode"])
def test_a_ledger_that_is_just_being_made_is_none_yet(settings, begun):
    # The replica's actor starts beside the coordinator's, which makes the file first and its tables later.
    path = settings.home / "ledger.db"
    shutil.rmtree(settings.home)
    if begun != "nothing":
        settings.home.mkdir()
        path.touch()
    if begun == "a file in WAL mode":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        assert path.stat().st_size > 0
    assembly.require_unchanged_base(settings)
    assert assembly.last_snapshot(settings) is None


@pytest.mark.parametrize("part", FILES)
def test_a_part_that_was_changed_lost_or_cut_is_refused_by_name_until_it_is_put_back(
    settings, ledger, tmp_path, part
):
    path = tmp_path / FILES[part]
    before = path.read_bytes()
    recorded = recorded_parts(ledger)[part]
    for body in (before + b" ", before[:-1], None):
        path.unlink() if body is None else path.write_bytes(body)
        found = assembly.base_parts(settings, ledger.base_sha256).get(part, "absent")
        says = f"{part}: {path} is {found[:12]}, recorded is {recorded[:12]}"
        with pytest.raises(WrongBaseModel) as refused:
            assembly.check_base(settings, ledger)
        assert says in str(refused.value)
        assert str(refused.value).count("recorded is") == 1
        with pytest.raises(WrongBaseModel, match="recorded is"):
            assembly.require_unchanged_base(settings)
    path.write_bytes(before)
    assembly.check_base(settings, ledger)
    assert bases(ledger) == 1


@pytest.mark.parametrize("part", APPEARING)
def test_a_file_that_appears_later_is_a_change(settings, ledger, tmp_path, part):
    path = tmp_path / APPEARING[part]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    with pytest.raises(WrongBaseModel, match=rf"{part}: .*, recorded is absent"):
        assembly.check_base(settings, ledger)
    path.unlink()
    assembly.check_base(settings, ledger)


@pytest.mark.parametrize("part", ["generation_config"])
def test_a_single_file_that_was_not_there_at_the_first_start_is_a_change(settings, made, tmp_path, part):
    path = tmp_path / FILES[part]
    before = path.read_bytes()
    path.unlink()
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(settings, ledger)
        assert recorded_parts(ledger)[part] == "absent"
        path.write_bytes(before)
        with pytest.raises(WrongBaseModel, match=rf"{part}: .*, recorded is absent"):
            assembly.check_base(settings, ledger)


def test_a_sentence_encoder_of_ones_own_is_a_part_file_by_file(settings, made, tmp_path):
    folder = tmp_path / "encoder"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json", "vocab.txt", "1_Pooling/config.json"):
        (folder / name).write_text("{}")
    mine = replace(settings, encoder=str(folder))
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(mine, ledger)
        (folder / "1_Pooling" / "config.json").write_text("{} ")
        with pytest.raises(WrongBaseModel, match=r"encoder/1_Pooling/config\.json: .*config\.json is"):
            assembly.check_base(mine, ledger)
        put_edit(ledger)
        assembly.accept_base(mine, ledger, ["encoder"], by="Ada")  # no fold depends on it
        assembly.check_base(mine, ledger)


@pytest.mark.parametrize("part", ["background", "edit_card"])
def test_a_file_of_the_preparation_may_be_added_while_nothing_is_in_the_weights(
    settings, made, tmp_path, part, monkeypatch
):
    path = tmp_path / FILES[part]
    before = path.read_bytes()
    path.unlink()
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(settings, ledger)
        path.write_bytes(before)
        with monkeypatch.context() as edited:
            edited.setattr("guardedit.assembly.base_check.edits_on_base", lambda _: 1)
            with pytest.raises(WrongBaseModel, match=rf"{part}: .*, recorded is absent"):
                assembly.check_base(settings, ledger)
        assembly.check_base(settings, ledger)
        assert recorded_parts(ledger)[part] != "absent"


def test_a_card_of_the_sweep_is_a_change_that_can_be_accepted(settings, ledger):
    card = assembly.find_card(settings, ledger.base_sha256)
    path = assembly.card_file(settings, ledger.base_sha256)
    path.parent.mkdir()
    path.write_text(card.text)
    with pytest.raises(WrongBaseModel, match="guardedit base accept edit_card/home"):
        assembly.check_base(settings, ledger)
    (part,) = assembly.accept_base(settings, ledger, ["edit_card"], by="Ada")
    assert (part.name, part.recorded) == ("edit_card/home", "absent")
    assembly.check_base(settings, ledger)


def test_what_no_answer_depends_on_may_change(settings, ledger, tmp_path):
    (tmp_path / "model" / "README.md").write_text("It is very small.\n")
    (tmp_path / "model" / "training_args.bin").write_bytes(b"1")
    assembly.check_base(settings, ledger)
    assert bases(ledger) == 1


def test_a_probe_set_elsewhere_is_known_by_its_content(settings, ledger, tmp_path):
    elsewhere = replace(settings, probes=tmp_path / "mine.json")
    shutil.copy(tmp_path / "model" / "probes.json", elsewhere.probes)
    assembly.check_base(elsewhere, ledger)
    elsewhere.probes.write_text('{"texts": [], "questions": []}')
    with pytest.raises(WrongBaseModel, match=r"probes: .*mine\.json is"):
        assembly.check_base(elsewhere, ledger)


# Second moments: collected again when they are lost.


def moments_file(settings: Settings, layer: int) -> Path:
    (path,) = settings.home.glob(f"moments/*/moments-*-layer{layer}.safetensors")
    return path


def test_lost_moments_are_collected_again_and_are_the_same(settings, ledger, policy):
    moments_file(settings, 0).unlink()
    moments_file(settings, 1).write_bytes(b"cut off")
    assembly.check_base(settings, ledger)
    states = {part.name: part.state for part in assembly.parts_of_base(settings, ledger)}
    assert sorted({*states.values()}) == ["damaged", "lost", "same"]
    assembly.load_setup(settings, policy)
    assembly.check_base(settings, ledger)
    assert {part.state for part in assembly.parts_of_base(settings, ledger)} == {"same"}
    assert bases(ledger) == 1


def other_moments(path: Path, field: str, value: Callable[[object], object]) -> None:
    moments = read_moments(path)
    save_moments(replace(moments, **{field: value(getattr(moments, field))}), path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layer", lambda n: n + 1),
        ("C", lambda C: C * (1 + 1e-12)),
        ("C", lambda C: C.float()),
        ("spectrum", lambda s: s + 1e-12),
        ("value_norm", lambda n: n + 1e-9),
        ("tokens", lambda n: n + 1),
        ("text_sha256", lambda digest: digest[::-1]),
    ],
)
def test_moments_count_with_every_field(settings, ledger, field, value):
    path = moments_file(settings, 1)
    other_moments(path, field, value)
    with pytest.raises(WrongBaseModel, match=rf"moments/{path.name}: .*, recorded is"):
        assembly.check_base(settings, ledger)


def test_new_moments_are_recorded_beside_the_old(settings, ledger, policy):
    known = {**recorded_parts(ledger)}
    assembly.load_setup(settings, policy, layer=2, layers=(2,), use_card=False)
    assembly.check_base(settings, ledger)
    now = recorded_parts(ledger)
    assert {**now, **known} == now
    (new,) = {*now} - {*known}
    assert new.endswith("-layer2.safetensors")
    moments_file(settings, 2).unlink()
    assembly.check_base(settings, ledger)
    assert bases(ledger) == 2


def test_new_moments_are_recorded_while_something_else_is_changed_and_that_is_not(
    settings, ledger, policy, tmp_path
):
    known = {**recorded_parts(ledger)}
    assembly.load_setup(settings, policy, layer=2, layers=(2,), use_card=False)
    (tmp_path / "model" / "probes.json").write_text("{}")
    assembly.record_new_parts(settings, ledger)
    now = recorded_parts(ledger)
    assert {**now, **known} == now
    assert len(now) == len(known) + 1
    assembly.record_new_parts(settings, ledger)
    assert bases(ledger) == 2


def test_damaged_moments_at_the_first_start_are_not_what_is_recorded(settings, made, policy):
    moments_file(settings, 0).write_bytes(b"cut off")
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(settings, ledger)
        assembly.load_setup(settings, policy)
        assembly.check_base(settings, ledger)
        assert {part.state for part in assembly.parts_of_base(settings, ledger)} == {"same"}


# A change that is meant.


def test_who_accepted_what_and_when_stays_in_the_ledger(settings, ledger, tmp_path):
    recorded = recorded_parts(ledger)["probes"]
    (tmp_path / "model" / "probes.json").write_text('{"texts": [], "questions": []}')
    assembly.accept_base(settings, ledger, ["probes"], by="Ada")
    assembly.check_base(settings, ledger)
    event = ledger.log(kinds=("base",))[-1]
    now = recorded_parts(ledger)["probes"]
    assert event.read()["by"] == "Ada"
    assert event.read()["accepted"] == {"probes": {"recorded": recorded, "found": now}}
    assert event.at_s == 1_000.0
    assert ledger.verify() == []


def test_only_what_was_changed_can_be_accepted(settings, ledger, tmp_path):
    (tmp_path / "model" / "probes.json").write_text("{}")
    for name in ("background", "nonsense"):
        with pytest.raises(UsageError, match=f"{name}: no changed part has this name; changed parts: probes"):
            assembly.accept_base(settings, ledger, [name, "probes"], by="Ada")
    assert bases(ledger) == 1


@pytest.mark.parametrize("part", FILES)
def test_under_edits_only_that_is_accepted_of_which_the_fold_does_not_depend(
    settings, ledger, tmp_path, part
):
    put_edit(ledger)
    with (tmp_path / FILES[part]).open("ab") as file:
        file.write(b" ")
    free = part.startswith(("probes", "generation_config", "chat_template"))
    if free:
        assembly.accept_base(settings, ledger, [part], by="Ada")
        assembly.check_base(settings, ledger)
    else:
        with pytest.raises(UsageError, match=rf"{part} cannot be accepted: 1 edits in the weights"):
            assembly.accept_base(settings, ledger, [part], by="Ada")
        assert bases(ledger) == 1


def test_probes_that_stand_in_for_the_background_are_not_accepted_under_edits(settings, made, tmp_path):
    (tmp_path / "model" / "background.json").unlink()
    with SqliteLedger.open(settings.home, base_sha256=made[1], clock=lambda: 1_000.0) as ledger:
        assembly.check_base(settings, ledger)
        put_edit(ledger)
        (tmp_path / "model" / "probes.json").write_text('{"texts": [], "questions": []}')
        with pytest.raises(UsageError, match="probes cannot be accepted"):
            assembly.accept_base(settings, ledger, ["probes"], by="Ada")


def test_another_model_is_not_accepted(settings, ledger, tmp_path):
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(WrongBaseModel, match="use another folder for another model"):
        assembly.accept_base(settings, ledger, ["weights"], by="Ada", base_sha256="f" * 64)
