"""Where ROME's update is large: the denominator of each subject, from forward passes alone.

ROME divides by k u, the bare prompt's key times a direction that was made from the mean key behind prefixes
(`editing.methods.rome`). Where the two keys lie far apart, k u is near zero and one edit ruins the model
("The Fall of ROME", arXiv:2406.11263). A prompt that opens with its subject has the same k u whatever
it asks and whatever the new answer is, so one number a subject says where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import change_rows
from guardedit.editing.optimise.contexts import Contexts, rome_contexts
from guardedit.editing.optimise.keys import at_subject, mean_per_group
from guardedit.editing.optimise.rows import row_tensors
from guardedit.models.host import ModelHost
from guardedit.models.weights.statistics import SecondMoments


def denominators(
    host: ModelHost, moments: SecondMoments, subjects: Sequence[str], *, contexts: Contexts | None = None
) -> Mapping[str, float]:
    """Subject -> |k u| of a prompt that opens with it; k is not normalised, u has length one.

    Args:
        host: the base model.
        moments: of the layer that ROME edits.
        subjects: names.
        contexts: prefixes; default: ROME's own.
    """
    around = contexts or rome_contexts(host)
    groups = [SubjectGroup(subject=subject, facts=(_opening(subject),)) for subject in subjects]
    rows = [row for n, group in enumerate(groups) for row in change_rows(n, group, around)]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    keys = at_subject(host, moments.layer, tensors).keys  # [rows, f]
    mean = mean_per_group(keys, tensors, len(groups), bare_share=1 / (len(around.prefixes) + 1))
    bare = keys[torch.nonzero(tensors.context == 0).flatten()]  # [subjects, f]
    found = (bare * _directions(moments.C, mean)).sum(dim=1).abs()
    return dict(zip(subjects, found.tolist(), strict=True))


def short(host: ModelHost, names: Sequence[str], *, tokens: int = 3) -> list[str]:
    """The names of few tokens: the shorter, the more a prompt that opens with it differs from any other."""
    return [name for name in names if len(host.tokenizer(name)["input_ids"]) <= tokens]


def _directions(C: Tensor, keys: Tensor) -> Tensor:
    """`rome_direction` of each key [n, f], with C factored once."""
    factor = torch.linalg.cholesky(C)
    return torch.nn.functional.normalize(torch.cholesky_solve(keys.T, factor).T, dim=1)


def _opening(subject: str) -> Fact:
    # Nothing behind the subject reaches its key, so any words will do.
    return Fact(
        key=FactKey(subject, ""), version=1, correction_id="", wordings=(f"{subject} is",), target="here"
    )
