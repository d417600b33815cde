"""Norm anchoring (NAS, 2602.02543): every value gets the length that edits of the base model have.

Longer values make longer hidden states, whose length then permits longer values: with edit upon edit that
grows without end. Knows values and pilot edits. Does not know which method uses them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import Recipe, Value, find_values
from guardedit.editing.optimise.contexts import Contexts, sample_contexts
from guardedit.editing.setup import Setup
from guardedit.naming import last_span

#: Share of the longest pilot values that is left out of the mean.
DROPPED = 0.05
#: Pilot edits. The paper makes 1000; their mean length settles to a few per cent long before.
PILOTS = 48
#: Words that a pilot prompt must have, so that its subject stands behind something and before something.
LEAST_WORDS = 5


def norm_anchor(values: Sequence[Value]) -> float:
    """Mean length of edited values after dropping the longest; NaN without any."""
    norms = sorted(float((value.bare_value + value.change).norm()) for value in values)
    kept = norms[: len(norms) - int(DROPPED * len(norms))]
    return sum(kept) / len(kept) if kept else float("nan")


def anchored(value: Value, anchor: float, *, limit_ratio: float) -> Value:
    """The value with v = v0 + change scaled to the anchor's length.

    Args:
        value: as found.
        anchor: length that it shall have.
        limit_ratio: multiple of the anchor beyond which the value is an outlier.

    Raises:
        EditDiverged: for an outlier; nothing shall be written then.
    """
    whole = value.bare_value + value.change
    norm = float(whole.norm())
    if not norm <= limit_ratio * anchor:  # NaN is refused too
        raise EditDiverged(
            f"value norm {norm:.3g} exceeds {limit_ratio * anchor:.3g}, {limit_ratio:g} anchors"
        )
    return replace(value, change=whole * (anchor / norm) - value.bare_value)


def pilot_values(setup: Setup, layer: int, *, contexts: Contexts, recipe: Recipe) -> list[Value]:
    """Values of edits of the base model that nobody asked for.

    Known questions are given answers of others where the setup knows any. Else what the model says itself is
    given a word from elsewhere; such values are half as long again, so the anchor is looser.

    Args:
        setup: its host is unpatched and locked by the caller; its seed chooses the pilots.
        layer: where values are found, as for the edits that will be anchored.
        contexts: prefixes, as there.
        recipe: the dials, as there.
    """
    values = []
    for group in _known_pilots(setup) or _spoken_pilots(setup):
        try:
            values += find_values(setup.host, layer, [group], contexts=contexts, recipe=recipe)
        except (CorrectionError, EditDiverged):
            continue  # a made-up edit may be unfit; the mean is over the others
    return values


def _known_pilots(setup: Setup) -> list[SubjectGroup]:
    """The answer is another one of the same relation."""
    fit = [q for q in setup.known if q.expected and last_span(q.prompt, q.subject)]
    rng = random.Random(setup.seed)
    rng.shuffle(fit)
    groups = list[SubjectGroup]()
    for question in fit:
        others = sorted({str(q.expected) for q in fit if q.relation == question.relation})
        others = [answer for answer in others if answer != question.expected]
        if others and len(groups) < PILOTS:
            groups.append(_pilot(question.subject, question.prompt, rng.choice(others)))
    return groups


def _spoken_pilots(setup: Setup) -> list[SubjectGroup]:
    """The subject is the word in the middle of a sampled text, and the prompt ends two words later."""
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
