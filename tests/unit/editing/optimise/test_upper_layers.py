from __future__ import annotations

from dataclasses import replace

import torch

from guardedit.editing.optimise import perturbations
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.keys import keys_and_values, keys_and_values_by_layer
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.perturbations import along_directions
from guardedit.editing.optimise.rows import Row, fact_rows, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.hooks import tap

LAYER = 1
ROWS = [
    Row(group=0, subject="Oslo", prompt="Oslo is located in the city of", answer="Lima.", fact="a"),
    Row(group=1, subject="Marie Curie", prompt="The tongue of Marie Curie is", answer="Polish.", fact="b"),
    Row(group=1, subject="Marie Curie", prompt="You see. Marie Curie speaks", answer="Spanish and Polish."),
    Row(group=2, subject="Peru", prompt="The capital of Peru", answer="Oslo.", fact="c"),
]


def tensors(host):
    return row_tensors(host.tokenizer, ROWS, context=host.context)


def changes(rows: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


def whole_model_logits(host, rows, row: int, add) -> torch.Tensor:
    """The yardstick: the unabridged model on one row, with `add(value)` at the down projection."""
    ids = rows.ids[row : row + 1, : int(rows.lengths[row])]
    with torch.no_grad(), tap(host.mlp_out(LAYER), replace=add):
        logits = host.model(ids).logits[0]
    return logits[int(rows.first[row]) : int(rows.last[row]) + 1]


def at_each_row(upper: UpperLayers, rows):
    """One change a row."""
    return perturbations.at_subject(upper, replace(rows, group=torch.arange(len(ROWS))))


def test_the_upper_layers_give_the_whole_models_logits_whatever_else_is_in_the_batch(host):
    rows, change = tensors(host), changes(len(ROWS))
    upper = UpperLayers(host, LAYER, rows)
    for chunk in (torch.arange(4), torch.tensor([3, 0]), torch.tensor([0]), torch.tensor([1])):
        perturb = at_each_row(upper, rows)
        found, answer_rows = upper.logits(chunk, perturb(change, chunk)), upper.answer_rows(chunk)
        for place, row in enumerate(chunk.tolist()):

            def add(value, row=row):
                value = value.clone()
                value[0, rows.subject_at[row]] += change[row]
                return value

            expected = whole_model_logits(host, rows, row, add)
            torch.testing.assert_close(found[answer_rows == place], expected, rtol=1e-4, atol=1e-5)


def test_with_directions_a_change_is_added_at_every_position_by_its_share(gpt2):
    rows, change = tensors(gpt2), changes(len(ROWS))
    directions = torch.randn(3, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    upper = UpperLayers(gpt2, LAYER, rows)
    by_row = replace(rows, group=torch.arange(4))
    perturb = along_directions(upper, by_row, directions[rows.group])
    found = upper.logits(torch.arange(4), perturb(change, torch.arange(4)))
    for row in range(4):
        ids = rows.ids[row : row + 1, : int(rows.lengths[row])]
        with torch.no_grad(), tap(gpt2.mlp_out(LAYER)) as seen:
            gpt2.model(ids)
        shares = seen.seen()[0] @ directions[rows.group[row]].float()
        # Positions before the subject are left alone here: they do not depend on the subject.
        shares[0, : int(rows.subject_at[row])] = 0.0
        expected = whole_model_logits(
            gpt2, rows, row, lambda v, s=shares, r=row: v + s[..., None] * change[r]
        )
        mine = upper.answer_rows(torch.arange(4)) == row
        torch.testing.assert_close(found[mine], expected, rtol=1e-4, atol=1e-5)


def test_answers_are_the_tokens_of_target_and_full_stop(gpt2):
    rows = tensors(gpt2)
    upper = UpperLayers(gpt2, LAYER, rows)
    answers = [gpt2.tokenizer.decode(upper.answer_ids(torch.tensor([row]))) for row in range(4)]
    assert answers == [" Lima.", " Polish.", " Spanish and Polish.", " Oslo."]


def test_keys_are_what_enters_the_down_projection_at_the_subjects_last_token(host):
    rows = tensors(host)
    site = keys_and_values(host, LAYER, rows)
    for row in range(4):
        ids = rows.ids[row : row + 1, : int(rows.lengths[row])]
        with torch.no_grad(), tap(host.mlp_out(LAYER)) as seen:
            host.model(ids)
        key, value = seen.seen()
        at = int(rows.subject_at[row])
        torch.testing.assert_close(site.keys[row].float(), key[0, at], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(site.values[row].float(), value[0, at], rtol=1e-4, atol=1e-6)


def test_several_layers_are_read_in_one_pass(host, monkeypatch):
    rows = tensors(host)
    apart = {layer: keys_and_values(host, layer, rows) for layer in (1, 0)}
    monkeypatch.setattr(
        "guardedit.editing.optimise.keys.CHUNK", 3
    )  # rows are sorted, and come back in their order
    together = keys_and_values_by_layer(host, [1, 0], rows)
    assert list(together) == [1, 0]
    for layer, site in together.items():
        torch.testing.assert_close(site.keys, apart[layer].keys, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(site.values, apart[layer].values, rtol=1e-4, atol=1e-6)


def test_each_answer_token_has_a_number_of_its_own_whatever_the_chunk(gpt2):
    upper = UpperLayers(gpt2, LAYER, tensors(gpt2))
    whole = upper.answer_numbers(torch.arange(4)).tolist()
    assert whole == list(range(len(whole)))
    assert upper.answer_numbers(torch.tensor([2, 1])).tolist() == [
        *(n for n, row in enumerate(upper.answer_rows(torch.arange(4)).tolist()) if row == 2),
        *(n for n, row in enumerate(upper.answer_rows(torch.arange(4)).tolist()) if row == 1),
    ]


def test_the_gradient_is_that_of_finite_differences(gpt2):
    rows = tensors(gpt2)
    upper = UpperLayers(gpt2, LAYER, rows)
    objective = Objective(upper, rows, perturbations.at_subject(upper, rows), preservation_weight=0.5)
    change, everything = 0.3 * changes(3, seed=2), torch.ones(len(ROWS), dtype=torch.bool)

    def loss(at: torch.Tensor) -> float:
        scores = objective.score(at, everything).loss_nats
        return float(scores[0] + scores[1] + 0.5 * scores[2] + scores[3])

    gradient, _ = objective.gradient(change, everything)
    step = changes(3, seed=3) * 1e-2
    slope = (loss(change + step) - loss(change - step)) / 2
    torch.testing.assert_close(float((gradient * step).sum()), slope, rtol=2e-2, atol=1e-4)


def test_without_a_change_answers_to_keep_have_no_divergence(gpt2):
    rows = tensors(gpt2)
    upper = UpperLayers(gpt2, LAYER, rows)
    objective = Objective(upper, rows, perturbations.at_subject(upper, rows), preservation_weight=1.0)
    scores = objective.score(torch.zeros(3, 32), rows.keep)
    assert scores.satisfied.tolist() == [False, False, True, False]
    assert float(scores.loss_nats[2].abs()) < 1e-6
    assert scores.loss_nats[0].isnan()


def test_a_wording_without_the_subject_makes_no_row(groups):
    fact = replace(groups[0].facts[0], wordings=("Marie Curie speaks", "She speaks"))
    rows = fact_rows(0, fact, "Marie Curie", Contexts(("You see.",)))
    assert [(row.prompt, row.context) for row in rows] == [
        ("Marie Curie speaks", 0),
        ("You see. Marie Curie speaks", 1),
    ]


def test_rows_that_begin_with_their_subject_may_run_in_a_chunk_of_their_own(host, monkeypatch):
    rows, change = tensors(host), changes(len(ROWS))
    whole = UpperLayers(host, LAYER, rows)
    monkeypatch.setattr("guardedit.editing.optimise.split_rows.CHUNK", 1)
    single, everything = UpperLayers(host, LAYER, rows), torch.arange(len(ROWS))
    found = [
        upper.logits(everything, at_each_row(upper, rows)(change, everything)) for upper in (whole, single)
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_keys_and_values_above_are_those_of_the_whole_model(host):
    rows = tensors(host)
    found = UpperLayers(host, 0, rows).keys_and_values([0, 1])
    for layer, site in found.items():
        expected = keys_and_values(host, layer, rows)
        torch.testing.assert_close(site.keys, expected.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(site.values, expected.values, rtol=1e-4, atol=1e-5)
