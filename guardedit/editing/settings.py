"""The dials of the editing methods, as plain data. Knows no model and no tensor."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSettings:
    """How methods other than the joint editor find and solve for target values.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves, as a share of ||v0||.
        steps: most optimisation steps a subject gets.
        extra_steps: steps in a row that must satisfy every row before a subject is done (MPES).
        confidence: least probability of each target token that counts as satisfied; tokens are pushed up
            to its square root and no further.
        clamp_ratio: largest ||delta|| as a multiple of ||v0||.
        norm_penalty: weight of (||delta|| / ||v0||)^2 in the loss, in nats.
        preservation_weight: weight of the KL terms that keep the subject's other answers.
        keep_limit: most preserved questions used per subject.
        background_weight: lambda, the pseudo-count of background tokens in the solve.
        ridge: eps in lambda C + eps I.
        contexts: number of prefixes beside the bare prompt.
        least_reached: least share of a fact's wordings that must answer with the target, its own prompt
            among them; below it the fact is refused.
        anchor_ratio: a value longer than this multiple of the anchor norm is refused.
        norm_anchored: scale every value to the anchor norm (`editing.anchor`).
    """

    learning_rate_ratio: float = 0.3
    steps: int = 80
    extra_steps: int = 3
    confidence: float = 0.3
    clamp_ratio: float = 16.0
    norm_penalty: float = 0.03
    preservation_weight: float = 1.0
    keep_limit: int = 12
    background_weight: float = 1_000.0
    ridge: float = 0.005
    contexts: int = 3
    least_reached: float = 0.75
    anchor_ratio: float = 2.0
    norm_anchored: bool = False

    @property
    def sha256(self) -> str:
        """Digest of every dial; equal settings give equal digests."""
        dials = asdict(self)
        if not self.norm_anchored:
            # Switched off it changes nothing, so edits cached without it stay valid.
            del dials["norm_anchored"]
        return hashlib.sha256(json.dumps(dials, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSettings:
    """How the joint editor finds what a batch of edits writes; the numbers are of the demo model.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves in all layers, as a share of ||v0||.
        steps: most optimisation steps a batch gets.
        confidence: as in `EditSettings`.
        norm_penalty: weight of (||change|| / ||v0||)^2 in the loss, in nats, mean over layers.
        preservation_weight: weight of the KL terms that keep the subject's other answers.
        keep_limit: most preserved questions used per subject.
        contexts: number of prefixes beside the bare prompt.
        least_reached: as in `EditSettings`.
        together: subjects that are optimised at once.
        background_price: nats for a change whose expected squared output error on background text is as
            large as the output itself, in a layer that is full; 0: free.
        full_share: edits that fill a layer, as a share of its width f.
        to_come: edits that are counted as if they filled the layer already, as a multiple of the batch, up
            to a full layer. Early edits stay: what they cost too much, later ones have to pay.
        expected_edits: at least so many edits are counted; for streams, which come in small batches.
        bare_share: of the bare wordings in keys; those behind prefixes have the rest.
        subject_direction: weight of the known subjects' keys in lambda C, against all background tokens.
        company: rows see their own edit and random parts of the batch; else always all of it.
        subject_felt: share of the known subjects' keys in what `background_price` is asked for.
    """

    learning_rate_ratio: float = 0.75
    steps: int = 60
    confidence: float = 0.75
    norm_penalty: float = 0.01
    preservation_weight: float = 3.0
    keep_limit: int = 12
    contexts: int = 3
    least_reached: float = 0.75
    together: int = 128
    background_price: float = 125.0
    full_share: float = 0.125
    to_come: float = 3.0
    expected_edits: int = 0
    bare_share: float = 0.5
    subject_direction: float = 0.5
    subject_felt: float = 0.3
    company: bool = True
