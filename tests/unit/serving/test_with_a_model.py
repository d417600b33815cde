"""A replica on a real model and a real fold: one epoch per answer, and tensors restored while it serves."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from guardedit.core.epoch import Change
from guardedit.core.errors import UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot, Update
from guardedit.models.host import ModelHost
from guardedit.models.integrity import tensor_of
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.serving.replica import ServingReplica
from tests.tiny_models import CARDED, D, F, byte_tokenizer
from tests.unit.serving.stand_ins import SUBJECTS, HashedEncoder, epoch_of, fact_of, shards

QUESTIONS = [f"The capital of {subject} is" for subject in SUBJECTS]
LAYER = 1
EPOCHS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, tokenizer = tmp_path_factory.mktemp("tiny"), byte_tokenizer(QUESTIONS)
    model = CARDED["gpt2"](len(tokenizer))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(parameter)))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def host(folder) -> ModelHost:
    torch.set_num_threads(1)
    return ModelHost.load(folder)


def edits_of(number: int) -> tuple[WeightEdit, ...]:
    """Edits that are strong enough to change the answers."""
    generator = torch.Generator().manual_seed(number)
    left, right = torch.randn(D, generator=generator), torch.randn(F, generator=generator)
    factors = Factors.direct(layer=LAYER, left=left, right=right / F, key=right)
    return (WeightEdit(subject=str(number), facts=(), method="test", payload=to_payload(factors)),)


def snapshot_of(fold: Fold, number: int) -> Snapshot:
    edits = edits_of(number)
    epoch = replace(epoch_of(number), weights_sha256=fold.weights_sha256(edits))
    return Snapshot(epoch=epoch, edits=edits, facts=tuple(fact_of(subject, number) for subject in SUBJECTS))


def serving(host: ModelHost) -> tuple[ServingReplica, list[Snapshot]]:
    fold = Fold(host, {}, background_weight=1.0, ridge=1.0)
    replica = ServingReplica(host.twin(), fold, shards(1, HashedEncoder()))
    return replica, [snapshot_of(fold, number) for number in range(1, EPOCHS + 1)]


def test_no_answer_of_a_real_model_mixes_two_epochs(host):
    replica, epochs = serving(host)
    wanted: dict[tuple[int, str], str] = {}
    for snapshot in epochs:
        replica.publish(snapshot)
        for question, answer in zip(QUESTIONS, replica.ask(QUESTIONS), strict=True):
            wanted[snapshot.epoch.number, question] = answer.text
    assert all(len({wanted[s.epoch.number, question] for s in epochs}) > 1 for question in QUESTIONS)
    done = threading.Event()

    def publish() -> None:
        at, rng = EPOCHS, random.Random(0)
        while not done.is_set():
            snapshot = rng.choice(epochs)
            changes = tuple(Change(fact.key, fact) for fact in snapshot.facts)
            update = Update(after=at, epoch=snapshot.epoch, changes=changes, edits=snapshot.edits)
            at = replica.follow(update)

    def ask(_: int) -> list[tuple[int, str, str]]:
        return [
            (answer.epoch, question, answer.text)
            for _ in range(10)
            for question, answer in zip(QUESTIONS, replica.ask(QUESTIONS), strict=True)
        ]

    with ThreadPoolExecutor(3) as threads:
        publisher = threads.submit(publish)
        try:
            found = [row for part in threads.map(ask, range(2)) for row in part]
        finally:
            done.set()
        publisher.result(60)
    assert [row for row in found if row[2] != wanted[row[:2]]] == []
    assert len(found) == 100
    assert len({epoch for epoch, _, _ in found}) > 1


@pytest.mark.parametrize("name", ["base", "patch"])
def test_a_served_tensor_that_was_changed_in_memory_is_restored(host, name):
    replica, epochs = serving(host)
    replica.publish(epochs[0])
    answers = [answer.text for answer in replica.ask(QUESTIONS)]
    assert replica.repair() == []
    patch = replica._state.weights.folded.patch
    edited = host.layout.matrix_name(LAYER)
    victim = patch.matrices[edited] if name == "patch" else tensor_of(host.model, host.layout.matrix_name(0))
    victim.normal_(std=3.0)
    assert [answer.text for answer in replica.ask(QUESTIONS)] != answers
    (problem,) = replica.repair()
    assert "was changed in memory" in problem
    assert [answer.text for answer in replica.ask(QUESTIONS)] == answers
    assert replica.repair() == []


def test_a_change_below_the_patch_is_not_folded_in(host):
    """The edited matrix's own base was changed, and then its edits are folded for the first time."""
    replica, epochs = serving(host)
    replica.publish(epochs[0])
    answers = [answer.text for answer in replica.ask(QUESTIONS)]
    replica._fold.forget()
    tensor_of(host.model, host.layout.matrix_name(LAYER)).normal_(std=3.0)
    with pytest.raises(UsageError, match="another model or moments"):
        replica.publish(epochs[1])
    assert [answer.text for answer in replica.ask(QUESTIONS)] == answers
    assert len(replica.repair()) == 1
    assert replica.publish(epochs[1]) == 2
    assert replica.repair() == []
