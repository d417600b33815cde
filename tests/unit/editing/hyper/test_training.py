from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.editing.hyper.checkpoint import checkpoint_file, load_network
from guardedit.editing.hyper.losses import losses
from guardedit.editing.hyper.training import Training
from guardedit.editing.hyper.training_data import EditSampler

METHODS = ("ke", "mend")


@pytest.fixture(params=METHODS)
def method(request) -> str:
    return request.param


def test_training_lowers_what_it_minimises_and_leaves_the_model_alone(
    gpt2, sampler, training_settings, tmp_path, digest
):
    before = digest(gpt2)
    settings = replace(training_settings, steps=60, rate=3e-3, size_rate=1e-4, edit_weight=1.0)
    training = Training("mend", gpt2, sampler, settings, tmp_path)
    samples = [sample for number in range(500, 504) for sample in sampler.draw(number, 4)]
    with torch.no_grad():
        losses(gpt2, training.network, samples, observe=True)  # as a trained one has statistics
        first = losses(gpt2, training.network, samples)
    report = training.run()
    with torch.no_grad():
        last = losses(gpt2, load_network(tmp_path, "mend", gpt2), samples)
    assert digest(gpt2) == before
    score = [float(found.edit_nats + found.kept_nats) for found in (first, last)]
    assert score[1] < 0.7 * score[0]
    assert report.step % training_settings.validate_every == 0


def test_a_constrained_training_lowers_the_edits_loss(gpt2, sampler, training_settings, tmp_path):
    settings = replace(training_settings, steps=60, constrained=True, margin=0.5, last_margin=0.5)
    training = Training("ke", gpt2, sampler, settings, tmp_path)
    seen: list[dict[str, float]] = []
    training.run(on_step=lambda _step, _last, numbers: seen.append(dict(numbers)))
    early, late = (math.fsum(row["edit"] for row in part) for part in (seen[:10], seen[-10:]))
    assert late < 0.5 * early


@pytest.mark.parametrize("margin", [1e-6, 100.0])
def test_the_multiplier_rises_only_while_the_constraint_is_missed(
    gpt2, sampler, training_settings, tmp_path, margin
):
    settings = replace(training_settings, constrained=True, margin=margin, last_margin=margin)
    training = Training("ke", gpt2, sampler, settings, tmp_path)
    training.run(until=4)
    assert (training.multiplier.item() > 0) is (margin < 1)


def test_a_run_that_stopped_goes_on_as_if_it_had_not(host, sampler, training_settings, tmp_path, method):
    settings = replace(training_settings, constrained=method == "ke")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    wanted = Training(method, host, sampler, settings, whole).run()
    Training(method, host, sampler, settings, parts).run(until=5)
    again = Training(method, host, sampler, settings, parts)
    again.resume()
    assert again.step == 5
    found = again.run()
    assert found == wanted
    assert checkpoint_file(parts, method).read_bytes() == checkpoint_file(whole, method).read_bytes()
    assert [path.name for path in parts.iterdir()] == [f"{method}.safetensors"], "the state is gone"


def test_other_settings_or_data_cannot_resume(gpt2, sampler, training_settings, tmp_path):
    with pytest.raises(UsageError, match="start again"):
        Training("mend", gpt2, sampler, training_settings, tmp_path).resume()
    Training("mend", gpt2, sampler, training_settings, tmp_path).run(until=1)
    with pytest.raises(UsageError, match="settings differ"):
        Training("mend", gpt2, sampler, replace(training_settings, rate=1.0), tmp_path).resume()
    with pytest.raises(UsageError, match="training data differ"):
        Training("mend", gpt2, EditSampler(sampler.examples, seed=1), training_settings, tmp_path).resume()


def test_training_stops_when_validation_does_not_improve(gpt2, sampler, training_settings, tmp_path):
    # Nothing moves at rate 0, so the first validation is the best.
    settings = replace(training_settings, steps=400, rate=0.0, size_rate=0.0, validate_every=1, patience=1)
    training = Training("ke", gpt2, sampler, settings, tmp_path)
    training.run()
    assert training.step == 3
    assert training.best.step == 1


def test_an_editor_of_another_model_is_refused(hosts, sampler, training_settings, tmp_path):
    Training("mend", hosts["gpt2"], sampler, replace(training_settings, steps=1), tmp_path).run()
    with pytest.raises(UsageError, match=r"was trained for base model .*guardedit editors train mend"):
        load_network(tmp_path, "mend", hosts["llama"])


def test_a_missing_or_broken_editor_names_the_remedy(gpt2, tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(UsageError, match="guardedit editors train ke"):
            load_network(folder, "ke", gpt2)
    checkpoint_file(tmp_path, "ke").write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=r"cannot be read .*guardedit editors train ke"):
        load_network(tmp_path, "ke", gpt2)
