from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.lab.locating.effects import LAST, SUBJECT_LAST, TOKENS, average
from guardedit.lab.locating.noise import draw, embedding_std
from guardedit.lab.locating.picture import draw_trace
from guardedit.lab.locating.plan import window_around
from guardedit.lab.locating.report import numbers, peaks, summary
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.statements import Statement, tokenize
from guardedit.lab.locating.trace import Trace, TraceSettings, trace

SETTINGS = TraceSettings(count=4, noisy_rows=3, rows=48)


@pytest.fixture(scope="module")
def traced(taught, statements) -> dict[str, Trace]:
    return {name: trace(host, statements, SETTINGS) for name, host in taught.items()}


@pytest.fixture(params=["gpt2", "llama"])
def found(request, traced) -> Trace:
    return traced[request.param]


def same(one: Trace, other: Trace, **tolerance: float) -> bool:
    pairs = [(one.effects, other.effects), (one.severed, other.severed)]
    return all(
        np.allclose(a[part].mean, b[part].mean, equal_nan=True, **tolerance) for a, b in pairs for part in a
    )


def test_the_noise_hides_what_the_model_knows(found):
    assert found.facts == 4
    assert found.clean > 0.9
    assert found.total_effect > 0.2


def test_the_last_state_of_all_brings_back_the_whole_answer(found):
    hidden = found.effects[TracedPart.HIDDEN].mean

    assert hidden[LAST, -1] == pytest.approx(found.total_effect, abs=1e-4)
    assert np.nan_to_num(hidden[:LAST, -1]) == pytest.approx(0, abs=1e-5)  # nothing reads these any more


def test_severing_nothing_leaves_the_effect_as_it_is(found):
    for severed in found.severed.values():  # behind the last layer there is nothing to sever
        assert severed.mean[-1] == pytest.approx(
            found.effects[TracedPart.HIDDEN].mean[SUBJECT_LAST, -1], abs=1e-5
        )


def test_equal_seeds_trace_equally_and_others_do_not(gpt2, statements, traced):
    again = trace(gpt2, statements, SETTINGS)
    other = trace(gpt2, statements, replace(SETTINGS, seed=1))

    assert same(again, traced["gpt2"], rtol=0, atol=0)
    assert not same(other, traced["gpt2"])


def test_the_number_of_rows_in_a_pass_changes_nothing(host, statements):
    wide = trace(host, statements, SETTINGS)
    narrow = trace(host, statements, replace(SETTINGS, rows=3))

    assert same(wide, narrow, atol=1e-5)


def test_a_facts_noise_does_not_depend_on_its_neighbours(gpt2, statements):
    one, other = tokenize(gpt2, statements[:2])
    first = draw(gpt2, one, rows=2, sigma=1.0, seed=0)

    assert torch.equal(first, draw(gpt2, one, rows=2, sigma=1.0, seed=0))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(
        first[:, one.subject[0]], draw(gpt2, other, rows=2, sigma=1.0, seed=0)[:, other.subject[0]]
    )
    assert first.abs().sum(dim=(0, 2)).nonzero().flatten().tolist() == list(one.subject)


def test_the_noise_is_scaled_by_all_embeddings_of_the_subjects(gpt2, statements):
    asked = tokenize(gpt2, statements)
    ids = [one.ids[i] for one in asked for i in one.subject]

    expected = gpt2.model.transformer.wte.weight[torch.tensor(ids)].double().std(unbiased=False)

    assert embedding_std(gpt2, asked) == pytest.approx(expected.item())


def test_facts_that_the_model_does_not_answer_are_skipped_and_counted(gpt2, statements):
    wrong = [replace(known, answer="Old Mill") for known in statements[:3]]

    found = trace(gpt2, [*wrong, *statements[:2]], replace(SETTINGS, count=50))

    assert (found.facts, found.skipped) == (2, 3)


def test_a_model_that_answers_nothing_cannot_be_traced(gpt2):
    with pytest.raises(UsageError, match="answers none of 1 facts"):
        trace(gpt2, [Statement(prompt="Peru speaks", subject="Peru", answer="Oslo")], SETTINGS)


def test_without_facts_there_is_nothing_to_trace(gpt2):
    with pytest.raises(UsageError, match="no facts to trace"):
        trace(gpt2, [], SETTINGS)


def test_a_window_as_wide_as_the_model_restores_every_layer_for_the_middle_one(gpt2, statements):
    wide = trace(gpt2, statements, replace(SETTINGS, window=99))

    assert wide.window == 3
    assert window_around(1, window=3, layers=3) == range(3)


def test_progress_goes_from_nothing_to_everything(gpt2, statements):
    heard = []
    trace(gpt2, statements, replace(SETTINGS, count=2), tell=lambda *news: heard.append(news))

    assert heard[0][0] == 0
    assert heard[-1][0] == heard[-1][1] > 0
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_tracing_leaves_the_model_as_it_was(gpt2, statements):
    before = gpt2.tensor_sha256()
    trace(gpt2, statements, replace(SETTINGS, count=1))

    assert gpt2.tensor_sha256() == before


def test_an_average_leaves_out_what_is_undefined_and_knows_its_error():
    found = average([np.array([1.0, np.nan, np.nan]), np.array([3.0, 5.0, np.nan])])

    assert found.facts.tolist() == [2, 1, 0]
    assert found.mean == pytest.approx([2.0, 5.0, np.nan], nan_ok=True)
    assert found.error == pytest.approx([1.0, np.nan, np.nan], nan_ok=True)


def test_the_report_holds_a_number_for_each_part_token_and_layer(found):
    said = numbers(found)

    assert set(said["indirect_effect"]) == {"hidden", "mlp", "attention"}
    for effects in said["indirect_effect"].values():
        assert list(effects) == list(TOKENS)
        assert {len(row) for row in effects.values()} == {found.layers}
    assert set(said["severed"]) == {"mlp", "attention"}
    assert len(peaks(found)) == 3 * len(TOKENS)
    assert "4 facts, 0 skipped" in summary(found)


def test_the_picture_is_a_png_even_where_a_kind_of_token_is_missing(tmp_path, gpt2):
    # Of one token, and nothing between it and the end.
    known = Statement(prompt="Peru speaks", subject="Peru", answer="Norwegian")
    found = trace(gpt2, [known], SETTINGS)
    assert np.isnan(found.effects[TracedPart.HIDDEN].mean).any()

    draw_trace(tmp_path / "trace", found, model="a model")

    assert (tmp_path / "trace").read_bytes().startswith(b"\x89PNG")
