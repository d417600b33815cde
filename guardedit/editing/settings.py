"""Settings of the editing methods, as plain data.

The annotations state the limits that an edit card's values must keep; the classes themselves do not check
them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: A count of at least 1.
Count = Annotated[int, Field(gt=0)]
#: A count that may be 0.
CountOrNone = Annotated[int, Field(ge=0)]
#: Settings that came after the first edits were cached.
_LATER = ("norm_anchored", "ends_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSettings:
    """How all methods but the joint editor optimise and solve for values.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves, as a share of ||v0||.
        steps: largest number of optimisation steps for each subject.
        extra_steps: steps in a row in which all evaluated rows must be satisfied before a subject stops
            (MPES).
        confidence: probability at which a target token counts as satisfied. The loss pushes it up to the
            square root of this value and no further.
        clamp_ratio: largest ||delta|| as a multiple of ||v0||.
        norm_penalty: weight of (||delta|| / ||v0||)^2 in the loss, in nats.
        preservation_weight: weight of the KL terms that keep the subject's other answers.
        keep_limit: largest number of questions to keep that are used for each subject.
        background_weight: lambda, the number of background tokens that one edit is weighed against in the
            solve.
        ridge: eps in lambda C + eps I.
        contexts: number of context prefixes, besides the bare prompt.
        least_reached: share of a fact's wordings that must be answered with the target, its own prompt among
            them; otherwise the fact is refused.
        anchor_ratio: a value longer than this multiple of the anchor norm is refused.
        norm_anchored: scale every value to the anchor norm (`locate.anchor`).
        ends_answer: also teach the model to stop after the new answer. A model that goes on after its answers
            would be changed more by that than by the fact.
    """

    learning_rate_ratio: Positive = 0.3
    steps: Count = 80
    extra_steps: CountOrNone = 3
    confidence: NotNegative = 0.3
    clamp_ratio: Positive = 16.0
    norm_penalty: NotNegative = 0.03
    preservation_weight: NotNegative = 1.0
    keep_limit: CountOrNone = 12
    background_weight: Positive = 1_000.0
    ridge: NotNegative = 0.005
    contexts: CountOrNone = 3
    least_reached: NotNegative = 0.75
    anchor_ratio: NotNegative = 2.0
    norm_anchored: bool = False
    ends_answer: bool = True

    @property
    def sha256(self) -> str:
        """Digest of all settings; equal settings have equal digests."""
        values = asdict(self)
        # Where these have their defaults, results are the same as without them, so edits that were cached
        # before they existed stay valid.
        for item in fields(self):
            if item.name in _LATER and values[item.name] == item.default:
                del values[item.name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSettings:
    """How the joint editor optimises a batch of edits; the defaults are tuned on the demo model.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves, over all layers, as a share of ||v0||.
        steps: largest number of optimisation steps for each batch.
        confidence: as in `EditSettings`.
        norm_penalty: weight of (||change|| / ||v0||)^2 in the loss, in nats, mean over layers.
        preservation_weight: weight of the KL terms that keep the subject's other answers.
        keep_limit: largest number of questions to keep that are used for each subject.
        contexts: number of context prefixes, besides the bare prompt.
        least_reached: as in `EditSettings`.
        together: number of subjects that are optimised at once.
        background_price: price in nats, when the layer is full, of a change whose expected squared output
            error on background text is as large as the squared output itself; 0 for no price.
        divergence_price: weight of the KL divergence on ordinary text, in nats a token, that a change is
            expected to cause (`joint.sensitivity`); 0 for no price. It replaces `background_price`, which
            takes all directions of the output for equally important.
        full_share: number of edits that fill a layer, as a share of its width f.
        to_come: number of edits to plan for beyond the live ones, this batch included, as a multiple of the
            batch size; planned edits are counted only until the layer is full. Early edits stay in the
            weights, so their excess cost is borne by later ones.
        expected_edits: plan for at least this many edits in total; for streams, which arrive in small
            batches.
        bare_share: weight of the bare wordings in mean keys, 0 to 1; wordings behind prefixes have the rest.
        subject_direction: weight of the known subjects' keys in lambda C, relative to all background tokens.
        ends_answer: as in `EditSettings`.
        company: whether each row sees its own edit and a random subset of the other edits of the batch;
            otherwise every row sees all edits in every step.
        subject_felt: share of the known subjects' keys among the keys that `background_price` applies to.
    """

    learning_rate_ratio: Positive = 0.75
    steps: Count = 60
    confidence: NotNegative = 0.75
    norm_penalty: NotNegative = 0.01
    preservation_weight: NotNegative = 3.0
    keep_limit: CountOrNone = 12
    contexts: CountOrNone = 3
    least_reached: NotNegative = 0.75
    together: Count = 128
    background_price: NotNegative = 125.0
    divergence_price: NotNegative = 0.0
    full_share: Positive = 0.125
    to_come: NotNegative = 3.0
    expected_edits: CountOrNone = 0
    bare_share: NotNegative = 0.5
    subject_direction: NotNegative = 0.5
    subject_felt: NotNegative = 0.3
    ends_answer: bool = True
    company: bool = True
