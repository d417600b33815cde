"""Checks a probe set with its model: which questions still hold, and how small a harm it can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardedit.guard import ProbeSet
from guardedit.guard.perplexity import PairedRatio, paired_ratio
from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.policy.resolution import least_sample, refusal
from guardedit.prepare.probes.benign import benign_patches
from guardedit.prepare.probes.building import Tell
from guardedit.prepare.probes.known import AnswerPlace, margins
from guardedit.prepare.probes.power import smallest_ratio, smallest_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a policy asks of a probe set.

    Attributes:
        confidence: of the guard's tests.
        ratio: highest ratio of perplexities that the policy allows a trial.
        other_subject_min: least share of answers about other subjects that must be kept.
        sample: questions about other subjects in a trial.
        texts: fewest texts.
    """

    confidence: float
    ratio: float
    other_subject_min: float
    sample: int
    texts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCheck:
    """What a probe set can do.

    Attributes:
        texts: number of texts.
        tokens: predicted tokens in them.
        questions: number of questions.
        facts: number of facts that they ask for.
        good: questions whose answer the model says now.
        noise: share of good questions that a benign change flips, the mean over changes; NaN without any.
        benign_ratio: largest ratio of perplexities under a benign change.
        standard_error: largest standard error of these ratios' logarithms, in nats per token.
        smallest_ratio: smallest ratio of perplexities that is found with 99 % power.
        sample: facts that a trial can ask for, at most as many as the policy has it ask.
        smallest_share: smallest share of changed answers that such a sample finds with 99 % power.
    """

    texts: int
    tokens: int
    questions: int
    facts: int
    good: int
    noise: float
    benign_ratio: float
    standard_error: float
    smallest_ratio: float
    sample: int
    smallest_share: float


def check_probes(
    host: ModelHost,
    prompts: Prompts,
    probes: ProbeSet,
    wanted: Wanted,
    *,
    layers: Sequence[int],
    noise: int,
    seed: int,
    tell: Tell,
) -> ProbeCheck:
    """Measure a probe set with the model and `noise` benign changes of it in `layers`."""
    places = [AnswerPlace(known.prompt, known.answer, known.lead) for known in probes.questions]
    tell("asking the questions", 0, noise + 1)
    scores = margins(host, prompts, places)
    good = [place for place, margin in zip(places, scores, strict=True) if margin > 0]
    base = host.token_logprobs(probes.texts)
    flipped, ratios = list[float](), list[PairedRatio]()
    for n, patch in enumerate(benign_patches(host, layers, count=noise, seed=seed)):
        tell("under benign changes", n + 1, noise + 1)
        now = margins(host, prompts, good, patch)
        flipped.append(sum(margin <= 0 for margin in now) / len(good) if good else math.nan)
        with host.patched(patch):
            ratios.append(paired_ratio(host.token_logprobs(probes.texts), base))
    facts = {(known.subject, known.relation) for known in probes.questions}
    error = max((ratio.standard_error for ratio in ratios), default=math.nan)
    share = sum(flipped) / len(flipped) if flipped else math.nan
    sample = min(wanted.sample, len(facts))
    return ProbeCheck(
        texts=len(probes.texts),
        tokens=sum(map(len, base)),
        questions=len(places),
        facts=len(facts),
        good=len(good),
        noise=share,
        benign_ratio=max((ratio.ratio for ratio in ratios), default=math.nan),
        standard_error=error,
        smallest_ratio=smallest_ratio(error, confidence=wanted.confidence),
        sample=sample,
        smallest_share=smallest_share(
            sample, confidence=wanted.confidence, noise=0.0 if math.isnan(share) else share
        ),
    )


def problems(found: ProbeCheck, wanted: Wanted, model: str) -> Iterator[str]:
    """A sentence, with a remedy, for each thing that a policy needs and the probe set does not give."""
    again = f"guardedit probes build{f' {model}' if model else ''}"
    if found.texts < wanted.texts:
        yield f"{found.texts} texts, the policy asks for {wanted.texts}: give more: `{again} --texts FILE`"
    if not found.smallest_ratio <= wanted.ratio:
        texts = _texts_needed(found, wanted)
        yield (
            f"the texts can tell a perplexity ratio of {found.smallest_ratio:.4f}, the policy's limit is "
            f"{wanted.ratio}: about {texts} texts are needed; give that many with `{again} --texts FILE`"
        )
    lost = found.questions - found.good
    if lost > found.questions / 50:
        yield f"{lost} of {found.questions} questions no longer hold: build them again with `{again}`"
    limit = wanted.other_subject_min
    if found.questions and (reason := refusal(found.sample, limit)):
        yield (
            f"{found.facts} facts are asked for, and {reason}; find more facts with "
            f"`{again} --questions {least_sample(limit)}`, or name some with --facts FILE"
        )
    if found.noise > 1.0 - limit:
        yield (
            f"harmless changes flip {found.noise:.3f} of the answers, more than guard.other_subject_min: "
            f"{limit} allows: build the probes again with `{again} --noise 6`, which keeps stabler ones"
        )


def _texts_needed(found: ProbeCheck, wanted: Wanted) -> int | str:
    """Texts of the same kind; the standard error falls with the square root of their number."""
    if not found.smallest_ratio > 1.0 or wanted.ratio <= 1.0:
        return "many more"
    return math.ceil(found.texts * (math.log(found.smallest_ratio) / math.log(wanted.ratio)) ** 2)
