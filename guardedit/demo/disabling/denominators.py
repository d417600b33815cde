"""Computes the denominator of ROME's update for each subject, from forward passes alone.

ROME divides by k u: the key k of the bare prompt, times a direction u made from the mean key over prefixes
(`editing.methods.rome`). If the two keys are far apart, k u is near zero and a single edit ruins the model
("The Fall of ROME", arXiv:2406.11263). All prompts that begin with the same subject have the same k u,
whatever the question and the target are, so there is one number per subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.values import change_rows
from guardedit.editing.optimise.contexts import rome_contexts
from guardedit.editing.optimise.keys import keys_and_values, mean_per_group
from guardedit.editing.optimise.rows import row_tensors
from guardedit.models.host import ModelHost
from guardedit.models.weights.second_moments import SecondMoments


def denominators(host: ModelHost, moments: SecondMoments, subjects: Sequence[str]) -> Mapping[str, float]:
    """Subject -> |k u| of a prompt that begins with it. k is not normalised, u has length one.

    Args:
        host: the base model.
        moments: second moments of the layer that ROME edits.
        subjects: names.
    """
    contexts = rome_contexts(host)
    groups = [SubjectGroup(subject=subject, facts=(_beginning(subject),)) for subject in subjects]
    rows = [row for n, group in enumerate(groups) for row in change_rows(n, group, contexts)]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    keys = keys_and_values(host, moments.layer, tensors).keys  # [rows, f]
    mean = mean_per_group(keys, tensors, len(groups), bare_share=1 / (len(contexts.prefixes) + 1))
    bare = keys[torch.nonzero(tensors.context == 0).flatten()]  # [subjects, f]
    found = (bare * _directions(moments.C, mean)).sum(dim=1).abs()
    return dict(zip(subjects, found.tolist(), strict=True))


def short(host: ModelHost, names: Sequence[str], *, tokens: int = 3) -> list[str]:
    """The names of at most `tokens` tokens. Their keys differ most between bare and prefixed prompts."""
    return [name for name in names if len(host.tokenizer(name)["input_ids"]) <= tokens]


def _directions(C: Tensor, keys: Tensor) -> Tensor:
    """`rome_direction` of each key [n, f], with C factored once."""
    factor = torch.linalg.cholesky(C)
    return torch.nn.functional.normalize(torch.cholesky_solve(keys.T, factor).T, dim=1)


def _beginning(subject: str) -> Fact:
    # The subject's key does not depend on the text after it, so these words are arbitrary.
    return Fact(
        key=FactKey(subject, ""), version=1, correction_id="", wordings=(f"{subject} is",), target="here"
    )
