"""Norm anchoring (NAS, 2602.02543): every value gets the length that edits of the base model have.

Longer values make longer hidden states, whose length then permits longer values: with edit upon edit that
grows without end. Knows values and pilot edits. Does not know which method uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.contexts import Contexts, sample_contexts
from guardedit.editing.values import Recipe, Value, find_values
from guardedit.models.host import ModelHost

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


def pilot_values(
    host: ModelHost, layer: int, *, contexts: Contexts, recipe: Recipe, seed: int
) -> list[Value]:
    """Values of made-up edits of the base model: what it says itself, with a word from elsewhere behind it.

    Args:
        host: unpatched, locked by the caller.
        layer: where values are found, as for the edits that will be anchored.
        contexts: prefixes, as there.
        recipe: the dials, as there.
        seed: of the sampled texts.
    """
    values = []
    for group in _pilot_groups(host, seed=seed):
        try:
            values += find_values(host, layer, [group], contexts=contexts, recipe=recipe)
        except (CorrectionError, EditDiverged):
            continue  # a made-up prompt may be unfit; the mean is over the others
    return values


def _pilot_groups(host: ModelHost, *, seed: int) -> list[SubjectGroup]:
    """The subject is the word in the middle of a text, the prompt ends two words later."""
    texts = sample_contexts(host, count=PILOTS, length_tokens=12, seed=seed).prefixes
    words = [text.rstrip(".").split() for text in texts]
    rich = [(number, row) for number, row in enumerate(words) if len(row) >= LEAST_WORDS]
    groups = []
    for number, row in rich:
        middle = len(row) // 2
        subject, prompt = row[middle], " ".join(row[: middle + 3])
        fact = Fact(
            key=FactKey(subject, f"pilot {number}"),
            version=1,
            correction_id="pilot",
            wordings=(prompt,),
            target=words[(number + 1) % len(words)][-1],
        )
        groups.append(SubjectGroup(subject=subject, facts=(fact,)))
    return groups
