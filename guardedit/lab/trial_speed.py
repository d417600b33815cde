"""Measures how long the guard's trial of a batch takes, by part, and how long a plain one takes.

The plain trial does the same without any of the savings: each of the three models runs all its layers on all
texts and generates the answer to every question. It takes many times as long, so a sample of it is run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guardedit import assembly
from guardedit.agent.judging import verdicts
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Probes
from guardedit.core.proposal import WeightEdit
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.guard import CollapseGuard
from guardedit.lab.choosing import Choose, setup_for_bench
from guardedit.lab.editors.alone import group_of
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.time_shares import time_shares
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.text.scoring import token_logprobs
from guardedit.models.text.spans import score_spans
from guardedit.models.weights.fold import Fold
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Models that a trial measures: candidate, serving epoch and base model.
MODELS = 3
#: Part of a trial -> the functions that do it. No function calls one of another part.
TRIAL_PARTS: Mapping[str, tuple[Callable[..., Any], ...]] = MappingProxyType(
    {
        "texts": (token_logprobs,),
        "spans": (score_spans,),
        "generation": (complete_guessed,),
        "fold": (Fold.folded,),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSeconds:
    """Seconds of trials of one batch.

    Attributes:
        edits: edits in the batch.
        texts: probe texts.
        questions: questions of the trial.
        said: share of the expected answers that the candidate says; the others are generated.
        propose: for making the edits.
        first: for the first trial with this base model, when nothing is kept yet.
        next: for a trial on top of the batch before, as in a running system.
        plain: for the plain trial of the same edits and questions, reckoned from a sample.
        ratio: plain over next.
        share: of the trial in the whole time of the batch, next / (propose + next).
        parts: share of `next` by part.
        outcome: the verdict; one that rejects may have left out questions and texts.
        reason: why it does not accept; empty if it does.
    """

    edits: int
    texts: int
    questions: int
    said: float
    propose: float
    first: float
    next: float
    plain: float
    ratio: float
    share: float
    parts: dict[str, float]
    outcome: str
    reason: str


def measure_trial_speed(
    settings: Settings,
    policy: Policy,
    path: Path | None,
    *,
    batch: int,
    method: str,
    threads: int,
    seed: int,
    sample: int,
    tell: Callable[[str], None],
    known: Choose | None = None,
) -> TrialSeconds:
    """Make two batches of edits, try the first, and measure a trial of the second on top of it.

    Args:
        settings: names the model.
        policy: its limits and editing settings.
        path: corrections to edit, as for `cases_to_edit`.
        batch: edits in a trial.
        method: the editing method.
        threads: threads of PyTorch; 0: as many as PyTorch chooses.
        seed: seed of the choice of facts and questions.
        sample: texts, and questions, of the plain trial that are run, with the candidate only; 0: all.
        tell: told of the progress.
        known: as for `setup_for_bench`.

    Raises:
        UsageError: there are not enough facts, or the method refuses all of them.
    """
    setup, cases = setup_for_bench(
        settings, policy, path, count=2 * batch, threads=threads, seed=seed, known=known
    )
    guard = _guard(settings, policy)
    parts = [cases[:batch], cases[batch : 2 * batch]]
    if not parts[1]:
        raise UsageError(f"there are only {len(cases)} facts to edit, more than {batch} are needed")
    worker = ModelWorker(setup.host, setup.fold, {method: Registry().build(method, setup)})
    tell("making edits")
    serving, _ = _proposed(worker, method, parts[0])
    edits, propose = _proposed(worker, method, parts[1])
    if not edits:
        raise UsageError(f"{method} refuses all {len(parts[1])} facts: give others or name another method")
    before = guard.probes_for([case.fact for case in parts[0]], {}, seed=seed)
    probes = guard.probes_for([case.fact for case in parts[1]], _in_weights(parts[0]), seed=seed)
    candidate = [*serving, *edits]
    with tempfile.TemporaryDirectory(prefix="guardedit-hidden-") as folder:
        setup.host.hidden.keep_in(Path(folder))
        tell("trying the first batch")
        first = _seconds(lambda: verdicts(guard, worker, before, candidate=serving, serving=()))
        tell("trying the second batch")
        shares, following = _profiled(
            lambda: verdicts(guard, worker, probes, candidate=candidate, serving=serving), TRIAL_PARTS
        )
    verdict, _ = verdicts(guard, worker, probes, candidate=candidate, serving=serving)  # kept: costs nothing
    tell("reading what the trial left out")
    spans = list(worker.measure(candidate, probes).spans.values())
    tell("trying it without savings")
    plain = _plain_seconds(setup, probes, candidate, sample)
    return TrialSeconds(
        edits=len(edits),
        texts=len(probes.texts),
        questions=len(probes.questions),
        said=sum(span.said for span in spans) / max(1, len(spans)),
        propose=propose,
        first=first,
        next=following,
        plain=plain,
        ratio=plain / following,
        share=following / (propose + following),
        parts=shares,
        outcome=verdict.outcome.value,
        reason=verdict.reason,
    )


def _guard(settings: Settings, policy: Policy) -> CollapseGuard:
    probes, prompts = assembly.load_probes(settings), assembly.load_prompts(settings)
    return assembly.guard(policy, probes, prompts, assembly.load_noise(settings))


def _proposed(
    worker: ModelWorker, method: str, cases: Sequence[EditCase]
) -> tuple[tuple[WeightEdit, ...], float]:
    started = time.perf_counter()
    edits = worker.propose(method, [group_of(case) for case in cases], ()).edits
    return edits, time.perf_counter() - started


def _in_weights(cases: Sequence[EditCase]) -> dict[FactKey, Fact]:
    return {case.fact.key: case.fact.placed(Placement.WEIGHTS) for case in cases}


def _plain_seconds(setup: Setup, probes: Probes, candidate: Sequence[WeightEdit], sample: int) -> float:
    """Seconds of the plain trial, reckoned from a part of one model's texts and one of its questions."""
    host, prompts = setup.host, list(dict.fromkeys(question.prompt for question in probes.questions))
    some = {"texts": _spread(probes.texts, sample), "prompts": _spread(prompts, sample)}
    folding = _seconds(lambda: setup.fold.fold(candidate))
    with host.patched(setup.fold.fold(candidate)):
        host.hidden.forget()
        texts = _seconds(lambda: host.token_logprobs(some["texts"]))
        answers = _seconds(lambda: host.complete(some["prompts"]))
    return MODELS * (
        folding
        + texts * len(probes.texts) / max(1, len(some["texts"]))
        + answers * len(prompts) / max(1, len(some["prompts"]))
    )


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """At most `count` of the texts, evenly spread; 0: all."""
    most = min(count or len(texts), len(texts))
    return [texts[n * len(texts) // most] for n in range(most)]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _profiled(
    call: Callable[[], object], parts: Mapping[str, tuple[Callable[..., Any], ...]]
) -> tuple[dict[str, float], float]:
    """Shares of the parts, and seconds, of one call; the profiler's own time is small beside a model's."""
    started = time.perf_counter()
    shares = time_shares(call, parts)
    return shares, time.perf_counter() - started
