from __future__ import annotations

import pytest
import torch

from guardedit.editing.joint.sensitivity import collect_sensitivity, sensitivity_of
from guardedit.models.hooks import tap
from guardedit.models.text.tokens import encode
from tests.unit.editing.conftest import SENTENCES

LAYERS = (0, 2)


def test_it_is_symmetric_and_has_no_negative_eigenvalue(host) -> None:
    for S in collect_sensitivity(host, SENTENCES, LAYERS, tokens=200).values():
        assert torch.allclose(S, S.t())
        assert float(torch.linalg.eigvalsh(S)[0]) > -1e-6 * float(S.diagonal().sum())


def test_a_gradient_is_what_a_small_change_of_the_output_does(host) -> None:
    """One text of one prediction: S is g g^T, and g predicts the change of the log-likelihood."""
    (text,) = SENTENCES[:1]
    ids = encode(host.tokenizer, text)[:2]
    short = host.tokenizer.decode(ids)
    assert encode(host.tokenizer, short) == ids
    S = collect_sensitivity(host, [short], [1])[1].double()
    values, vectors = torch.linalg.eigh(S)
    g = vectors[:, -1] * values[-1].sqrt()

    def logp(step: float) -> float:
        with torch.no_grad(), tap(host.mlp_out(1), replace=lambda out: out + step * g.float()):
            logits = host.model(torch.tensor([ids])).logits
        return float(logits[0, 0].double().log_softmax(-1)[ids[1]])

    slope = (logp(1e-2) - logp(-1e-2)) / 2e-2
    assert abs(slope) == pytest.approx(float(g @ g), rel=0.05)


def test_layers_are_cached_one_by_one_and_a_damaged_file_is_made_again(host, tmp_path) -> None:
    first = sensitivity_of(host, SENTENCES, LAYERS, folder=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(LAYERS)
    files[0].write_bytes(b"broken")
    again = sensitivity_of(host, SENTENCES, (0, 1, 2), folder=tmp_path)
    assert torch.equal(again[0], first[0])
    assert torch.equal(again[2], first[2])
    assert len(list(tmp_path.iterdir())) == 3


def test_the_model_is_left_as_it_was(host) -> None:
    before = host.tensor_sha256()
    collect_sensitivity(host, SENTENCES, LAYERS, tokens=50)
    assert host.tensor_sha256() == before
    assert not any(parameter.requires_grad for parameter in host.model.parameters())
