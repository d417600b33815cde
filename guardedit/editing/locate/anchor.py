"""Norm anchoring (NAS, arXiv:2602.02543): scale each value to the mean norm of values of the base model.

Longer values make hidden states longer, and longer hidden states allow longer values: over many edits the
norms grow without limit.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import Value, ValueSettings, find_values
from guardedit.editing.optimise.contexts import Contexts, sample_contexts
from guardedit.editing.setup import Setup
from guardedit.naming import last_span

#: Share of the pilot values, the longest ones, that is left out of the mean.
DROPPED = 0.05
#: Number of pilot edits. The paper makes 1000; their mean norm settles to a few per cent much earlier.
PILOTS = 48
#: Fewest words of a sampled text for a pilot prompt, so that there is text before and after its subject.
LEAST_WORDS = 5


def norm_anchor(values: Sequence[Value]) -> float:
    """Mean norm of edited values without the longest `DROPPED` share; NaN when there are no values."""
    norms = sorted(float((value.bare_value + value.change).norm()) for value in values)
    kept = norms[: len(norms) - int(DROPPED * len(norms))]
    return sum(kept) / len(kept) if kept else float("nan")


def anchored(value: Value, anchor: float, *, limit_ratio: float) -> Value:
    """The value with v* = v0 + change scaled to the norm `anchor`.

    Args:
        value: as found by the optimisation.
        anchor: the norm to scale to.
        limit_ratio: multiple of the anchor beyond which the value is an outlier.

    Raises:
        EditDiverged: for an outlier, which must not be written.
    """
    whole = value.bare_value + value.change
    norm = float(whole.norm())
    if not norm <= limit_ratio * anchor:  # also true for NaN
        raise EditDiverged(
            f"value norm {norm:.3g} exceeds {limit_ratio * anchor:.3g}, {limit_ratio:g} anchors: "
            "raise anchor_ratio, or edit the fact with another method"
        )
    return replace(value, change=whole * (anchor / norm) - value.bare_value)


def pilot_values(
    setup: Setup, layer: int, *, contexts: Contexts, value_settings: ValueSettings
) -> list[Value]:
    """Values of made-up edits of the base model.

    If the setup has known questions, they are edited to the answers of other subjects. Otherwise, texts that
    the model generates are edited to continue with a word of another text; those values are half as long
    again, so the anchor is looser.

    Args:
        setup: its host is unpatched and locked by the caller; its seed chooses the pilots.
        layer: where values are found; must be that of the edits to be anchored.
        contexts: prefixes; must be those of the edits to be anchored.
        value_settings: settings of the value optimisation; must be those of the edits to be anchored.
    """
    values = []
    for group in _known_pilots(setup) or _sampled_pilots(setup):
        try:
            values += find_values(
                setup.host, layer, [group], contexts=contexts, value_settings=value_settings
            )
        except (CorrectionError, EditDiverged):
            continue  # a made-up edit may fail; the anchor is the mean over the others
    return values


def _known_pilots(setup: Setup) -> list[SubjectGroup]:
    """Known questions, each with another answer of the same relation."""
    usable = [q for q in setup.known if q.expected and last_span(q.prompt, q.subject)]
    rng = random.Random(setup.seed)
    rng.shuffle(usable)
    groups = list[SubjectGroup]()
    for question in usable:
        others = sorted({str(q.expected) for q in usable if q.relation == question.relation})
        others = [answer for answer in others if answer != question.expected]
        if others and len(groups) < PILOTS:
            groups.append(_pilot(question.subject, question.prompt, rng.choice(others)))
    return groups


def _sampled_pilots(setup: Setup) -> list[SubjectGroup]:
    """Sampled texts: the subject is the word in the middle, and the prompt ends two words later."""
    texts = sample_contexts(setup.host, count=PILOTS, length_tokens=12, seed=setup.seed).prefixes
    words = [text.rstrip(".").split() for text in texts]
    rich = [row for row in words if len(row) >= LEAST_WORDS]
    return [
        _pilot(row[len(row) // 2], " ".join(row[: len(row) // 2 + 3]), rich[number - 1][-1])
        for number, row in enumerate(rich)
    ]


def _pilot(subject: str, prompt: str, target: str) -> SubjectGroup:
    key = FactKey(subject, prompt)
    fact = Fact(key=key, version=1, correction_id="pilot", wordings=(prompt,), target=target)
    return SubjectGroup(subject=subject, facts=(fact,))
