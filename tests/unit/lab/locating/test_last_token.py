from __future__ import annotations

import numpy as np

from guardedit.lab.locating.effects import SUBJECT_LAST
from guardedit.lab.locating.last_token import last_token_effects
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.trace import TraceSettings, trace

SETTINGS = TraceSettings(count=3, noisy_rows=3, rows=48)


def test_the_small_trace_is_one_row_of_the_whole_one(host, statements):
    small, whole = last_token_effects(host, statements, SETTINGS), trace(host, statements, SETTINGS)

    mlps = whole.effects[TracedPart.MLP]
    assert np.allclose(small.mean, mlps.mean[SUBJECT_LAST], atol=1e-6)
    assert np.allclose(small.error, mlps.error[SUBJECT_LAST], atol=1e-6)
    assert (small.facts, small.window) == (whole.facts, whole.window)
    assert np.any(small.mean)


def test_the_small_trace_restores_once_a_layer_and_fact(gpt2, statements):
    heard = []
    last_token_effects(gpt2, statements, SETTINGS, tell=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (SETTINGS.count * gpt2.layers,) * 2
