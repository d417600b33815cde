from __future__ import annotations

import pytest
import torch

from guardedit.lab.locating.noise import draw
from guardedit.lab.locating.restore import NoisyRuns, Restoration, TracedPart
from guardedit.lab.locating.statements import Statement, tokenize
from guardedit.models.host import ModelHost
from tests.tiny_models import FAMILIES, LAYERS, byte_tokenizer

NOISY = 3
#: Of equal length with one token a byte; one subject opens the prompt, one stands within.
ASKED = (
    Statement(prompt="Oslo is in", subject="Oslo", answer="Norway"),
    Statement(prompt="by Ann Lee", subject="Ann", answer="Peru"),
)


@pytest.fixture(params=list(FAMILIES), scope="module")
def any_host(request) -> ModelHost:
    """Every family in turn, with weights large enough for noise to matter."""
    tokenizer = byte_tokenizer()
    model = FAMILIES[request.param](len(tokenizer))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3, generator=generator)
    return ModelHost(model, tokenizer)


def runs_of(
    host: ModelHost, *, facts: tuple[int, ...] = (0, 1), rows: int = 64, sigma: float = 1.0
) -> NoisyRuns:
    asked = tokenize(host, [ASKED[i] for i in facts])
    noise = [draw(host, one, rows=NOISY, sigma=sigma, seed=0) for one in asked]
    return NoisyRuns(host, asked, noise, rows=rows)


def scores(runs: NoisyRuns, *tries: tuple[int, Restoration]) -> list[float]:
    return [score for some in runs.restored(tries) for score in some]


def last(fact: int) -> int:
    return len(ASKED[fact].prompt) - 1


EVERYWHERE = tuple((part, layer) for part in TracedPart for layer in range(LAYERS))


def test_noise_changes_the_probability(any_host):
    runs = runs_of(any_host)

    for clean, corrupted in zip(runs.clean, runs.corrupted, strict=True):
        assert abs(clean - corrupted) > 1e-3 * clean


@pytest.mark.parametrize(
    "places", [EVERYWHERE, *(((TracedPart.HIDDEN, layer),) for layer in range(LAYERS))], ids=str
)
def test_restoring_every_token_gives_back_the_clean_probability(any_host, places):
    runs = runs_of(any_host)
    tries = [(fact, Restoration(tuple(range(last(fact) + 1)), places)) for fact in (0, 1)]

    assert scores(runs, *tries) == pytest.approx(runs.clean, rel=1e-4)


def test_restoring_nothing_gives_the_corrupted_probability(any_host):
    runs = runs_of(any_host)

    assert scores(runs, (0, Restoration((), ())), (1, Restoration((0,), ()))) == pytest.approx(
        runs.corrupted, rel=1e-5
    )


@pytest.mark.parametrize("part", list(TracedPart))
def test_without_noise_there_is_nothing_to_change(any_host, part):
    # Some layers add to their modules' outputs in place: what was recorded has to be what was put out.
    runs = runs_of(any_host, sigma=0.0)
    places = tuple((part, layer) for layer in range(LAYERS))
    tries = [Restoration(tuple(range(last(0) + 1)), places), Restoration((), (), places)]

    assert scores(runs, *((0, one) for one in tries)) == pytest.approx([runs.clean[0]] * 2, rel=1e-4)


def test_freezing_alone_changes_nothing(any_host):
    runs = runs_of(any_host)
    frozen = Restoration((), (), EVERYWHERE)

    assert scores(runs, (0, frozen), (1, frozen)) == pytest.approx(runs.corrupted, rel=1e-5)


def test_before_the_subject_there_is_nothing_to_restore(any_host):
    runs = runs_of(any_host)

    assert scores(runs, (1, Restoration((0, 1, 2), EVERYWHERE))) == pytest.approx(
        runs.corrupted[1:], rel=1e-5
    )


def test_many_restorations_at_once_score_as_one_at_a_time(any_host):
    subject_last = (3, 5)
    tries = [
        (fact, Restoration((token,), ((part, layer),), frozen))
        for fact in (0, 1)
        for layer in range(LAYERS)
        for part in TracedPart
        for token, frozen in (
            (last(fact), ()),
            (subject_last[fact], tuple((TracedPart.MLP, later) for later in range(layer + 1, LAYERS))),
        )
    ]
    together = scores(runs_of(any_host), *tries)
    alone = {fact: runs_of(any_host, facts=(fact,), rows=1) for fact in (0, 1)}

    assert len(set(together)) > len(tries) // 2
    for (fact, restoration), score in zip(tries, together, strict=True):
        assert scores(alone[fact], (0, restoration)) == pytest.approx([score], rel=1e-4)


@pytest.mark.parametrize("part", [TracedPart.MLP, TracedPart.ATTENTION])
def test_a_window_scores_as_in_a_run_written_out_by_hand(gpt2, part):
    asked = tokenize(gpt2, [Statement(prompt="Peru speaks", subject="Peru", answer="Norwegian")])
    noise = draw(gpt2, asked[0], rows=2, sigma=1.0, seed=3)
    runs = NoisyRuns(gpt2, asked, [noise], rows=8)
    at = asked[0].subject[-1]
    window = (0, 1)

    ids = torch.tensor([asked[0].ids])
    layers = [gpt2.model.transformer.h[layer] for layer in window]
    modules = [block.mlp if part is TracedPart.MLP else block.attn for block in layers]
    kept, handles = {}, []

    def record(module, _, output):
        kept[module] = (output[0] if isinstance(output, tuple) else output)[0, at].clone()

    def restore(module, _, output):
        (output[0] if isinstance(output, tuple) else output)[:, at] = kept[module]

    with torch.no_grad():
        handles = [module.register_forward_hook(record) for module in modules]
        gpt2.model(ids)
        for handle in handles:
            handle.remove()
        handles = [module.register_forward_hook(restore) for module in modules]
        embedded = gpt2.model.transformer.wte(ids) + noise
        logits = gpt2.model(inputs_embeds=embedded).logits[:, -1]
        for handle in handles:
            handle.remove()
    expected = logits.softmax(-1)[:, asked[0].target].mean().item()

    restoration = Restoration((at,), tuple((part, layer) for layer in window))
    assert scores(runs, (0, restoration)) == pytest.approx([expected], rel=1e-4)
    assert abs(expected - runs.corrupted[0]) > 1e-4


def test_severing_takes_away_what_the_severed_part_carries(gpt2):
    asked = tokenize(gpt2, [Statement(prompt="Peru speaks", subject="Peru", answer="Norwegian")])
    runs = NoisyRuns(gpt2, asked, [draw(gpt2, asked[0], rows=4, sigma=1.0, seed=3)], rows=8)
    at = (asked[0].subject[-1],)
    hidden = ((TracedPart.HIDDEN, 0),)
    severed = tuple((part, layer) for part in (TracedPart.MLP, TracedPart.ATTENTION) for layer in (1, 2))
    held = (*severed, (TracedPart.HIDDEN, 1), (TracedPart.HIDDEN, 2))

    whole, cut, nothing = scores(
        runs,
        (0, Restoration(at, hidden)),
        (0, Restoration(at, hidden, severed)),
        (0, Restoration(at, hidden, (*hidden, *held))),
    )

    assert whole != pytest.approx(cut, rel=1e-4)
    assert nothing == pytest.approx(runs.corrupted[0], rel=1e-5)


def test_no_hook_stays_behind(gpt2):
    runs = NoisyRuns(
        gpt2,
        asked := tokenize(gpt2, [Statement(prompt="Peru speaks", subject="Peru", answer="Norwegian")]),
        [draw(gpt2, asked[0], rows=2, sigma=1.0, seed=0)],
        rows=4,
    )
    scores(runs, (0, Restoration((0,), EVERYWHERE)))

    assert not any(module._forward_hooks for module in gpt2.model.modules())
