"""Causal tracing: finds the states that bring the answer back when they are restored in a corrupted run.

Source: Meng et al. 2022, "Locating and Editing Factual Associations in GPT", section 2 and appendix B.
Use it as a diagnostic only: Hase et al. 2023 found that it does not predict which layer is best to edit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from guardedit.core.errors import UsageError
from guardedit.lab.locating.effects import Array, Average, average
from guardedit.lab.locating.noise import draw, embedding_std
from guardedit.lab.locating.plan import MEDIATORS, PlannedRestoration, effects_of, plan_of, usual_window
from guardedit.lab.locating.restore import NoisyRuns, TracedPart
from guardedit.lab.locating.statements import Statement, TokenizedStatement, answered, tokenize
from guardedit.models.host import ModelHost
from guardedit.models.text.passes import by_length


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """The settings of a trace.

    Attributes:
        count: most facts to trace.
        seed: seed of the choice of facts and of the noise.
        window: number of consecutive MLPs or attentions restored together; None: `usual_window`.
        noisy_rows: rows with different noise over which a probability is averaged.
        noise: standard deviation of the noise over that of the subjects' token embeddings.
        rows: most rows in one forward pass.
    """

    count: int = 50
    seed: int = 0
    window: int | None = None
    noisy_rows: int = 10
    noise: float = 3.0
    rows: int = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Averages over facts. Probabilities are of the first token of the answer, as in the paper.

    Attributes:
        facts: number of facts traced.
        skipped: number of facts left out because the model does not answer them.
        layers: number of layers of the model.
        window: number of MLPs or attentions restored together.
        sigma: standard deviation of the noise.
        clean: mean probability without noise.
        corrupted: mean probability with a corrupted subject.
        effects: average indirect effect of each part, [kinds of `TOKENS`, layers].
        severed: average indirect effect of the hidden state at the subject's last token while all later
            outputs of this part at that token stay corrupted, [layers].
    """

    facts: int
    skipped: int
    layers: int
    window: int
    sigma: float
    clean: float
    corrupted: float
    effects: dict[TracedPart, Average]
    severed: dict[TracedPart, Average]

    @property
    def total_effect(self) -> float:
        """ATE: the probability lost by the noise."""
        return self.clean - self.corrupted


def trace(
    host: ModelHost,
    statements: Sequence[Statement],
    settings: TraceSettings,
    *,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Trace:
    """Trace a sample of statements.

    The scale of the noise is computed from all statements. They are tried in a seeded order until the model
    has answered `count` of them. Statements that it does not answer count as skipped.

    Args:
        host: the model, left unchanged.
        statements: facts that it may know.
        settings: settings of the trace.
        tell: progress; takes restorations done and in total.

    Raises:
        UsageError: when the model answers none of the statements.
        MalformedCorrection: when a statement has too many tokens.
        SubjectNotFound: when no token covers a subject.
        GuardError: when memory does not suffice.
    """
    tokenized = tokenize(host, statements)
    sigma = settings.noise * embedding_std(host, tokenized)
    chosen, skipped = choose(host, tokenized, settings)
    window = min(settings.window or usual_window(host.layers), host.layers)
    plans = [plan_of(one, layers=host.layers, window=window) for one in chosen]
    gathered, clean, corrupted = gather(host, chosen, plans, settings, sigma=sigma, tell=tell)
    return Trace(
        facts=len(chosen),
        skipped=skipped,
        layers=host.layers,
        window=window,
        sigma=sigma,
        clean=math.fsum(clean) / len(clean),
        corrupted=math.fsum(corrupted) / len(corrupted),
        effects={part: average(gathered[part.value]) for part in TracedPart},
        severed={part: average(gathered[f"severed {part.value}"]) for part in MEDIATORS},
    )


def gather(
    host: ModelHost,
    chosen: Sequence[TokenizedStatement],
    plans: Sequence[Sequence[PlannedRestoration]],
    settings: TraceSettings,
    *,
    sigma: float,
    tell: Callable[[int, int], None],
) -> tuple[dict[str, list[Array]], list[float], list[float]]:
    """Run the plan of every fact.

    Returns:
        Effect name -> its array for each fact, and the clean and the corrupted p(answer) of each fact.
    """
    total, done = sum(map(len, plans)), 0
    gathered: dict[str, list[Array]] = {}
    clean, corrupted = [], []
    tell(0, total)
    for group in _groups(chosen, settings):
        runs = NoisyRuns(
            host,
            [chosen[i] for i in group],
            [draw(host, chosen[i], rows=settings.noisy_rows, sigma=sigma, seed=settings.seed) for i in group],
            rows=settings.rows,
        )
        clean += runs.clean
        corrupted += runs.corrupted
        tries = [(n, step.restoration) for n, i in enumerate(group) for step in plans[i]]
        scores: list[float] = []
        for some in runs.restored(tries):
            scores += some
            tell(done + len(scores), total)
        done += len(scores)
        remaining = iter(scores)
        for n, i in enumerate(group):
            measured = [next(remaining) - runs.corrupted[n] for _ in plans[i]]
            for name, effects in effects_of(chosen[i], plans[i], measured, layers=host.layers).items():
                gathered.setdefault(name, []).append(effects)
    return gathered, clean, corrupted


def choose(
    host: ModelHost, tokenized: Sequence[TokenizedStatement], settings: TraceSettings
) -> tuple[list[TokenizedStatement], int]:
    """At most `count` facts that the model answers, and the number of facts skipped.

    Raises:
        UsageError: when the model answers none.
    """
    order = random.Random(settings.seed).sample(range(len(tokenized)), len(tokenized))
    chosen: list[TokenizedStatement] = []
    skipped = 0
    shuffled = [tokenized[i] for i in order]
    for one, right in zip(shuffled, answered(host, shuffled), strict=True):
        if right:
            chosen.append(one)
        else:
            skipped += 1
        if len(chosen) == settings.count:
            break
    if not chosen:
        raise UsageError(
            f"the model answers none of {len(tokenized)} facts: "
            "give facts that it knows, worded as in its training"
        )
    return chosen, skipped


def _groups(chosen: Sequence[TokenizedStatement], settings: TraceSettings) -> Iterator[list[int]]:
    """Indices of facts of equal length, few enough for their noisy rows to fit into one pass."""
    yield from by_length([one.ids for one in chosen], at_most=max(1, settings.rows // settings.noisy_rows))
