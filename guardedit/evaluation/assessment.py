"""Everything that can be said of a finished run, as plain data for `demo.json`.

Puts together what the other files of this package measure; decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from guardedit import assembly
from guardedit.core.probe import Kind, Probes, Question
from guardedit.core.protocols import Workbench
from guardedit.evaluation import audit
from guardedit.evaluation.campaign import HashCheck, Run, System
from guardedit.evaluation.expected import DemoStream
from guardedit.evaluation.retrial import false_rejections
from guardedit.evaluation.scores import Ask, Questions, Scores, fluency, score
from guardedit.evaluation.unguarded import COLLAPSED, Unguarded
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Questions in one call of a replica.
AT_ONCE = 256


def ask_base(workbench: Workbench) -> Ask:
    """The base model alone, in the form that the scores ask."""

    def ask(prompts: Sequence[str]) -> list[str]:
        questions = tuple(Question(prompt=prompt, kind=Kind.OTHER_SUBJECT) for prompt in prompts)
        answers = workbench.measure((), Probes(texts=(), questions=questions)).answers
        return [answers[prompt] for prompt in prompts]

    return ask


def ask_served(system: System) -> Ask:
    """The system as its users meet it: memory and weights."""

    def ask(prompts: Sequence[str]) -> list[str]:
        parts = [prompts[at : at + AT_ONCE] for at in range(0, len(prompts), AT_ONCE)]
        return [answer.text for part in parts for answer in system.ask(part)]

    return ask


def assess_answers(
    system: System, ledger: LedgerReader, questions: Questions, texts: Sequence[str]
) -> dict[str, Any]:
    """The scores by free generation, and the perplexity of what is served."""
    probes = Probes(texts=tuple(texts))
    served = system.workbench.measure(ledger.edits(), probes).logprobs
    pair = fluency(served, system.workbench.measure((), probes).logprobs)
    return {
        **_flat(score(ask_served(system), questions)),
        "perplexity_ratio": pair.ratio,
        "perplexity_ratio_between": [pair.lower, pair.upper],
        "perplexity_tokens": pair.tokens,
    }


def assess_ledger(
    ledger: LedgerReader,
    workbench: Workbench,
    *,
    stream: DemoStream,
    run: Run,
    policy: Policy,
    settings: Settings,
    now_s: float,
) -> dict[str, Any]:
    """What the ledger says of the run, false rejections tried again."""
    probe_set = assembly.load_probes(settings)
    again = false_rejections(
        ledger,
        workbench,
        assembly.guard(policy, probe_set),
        lambda subject: assembly.known_questions(probe_set, subject),
        disabling=stream.disabling,
    )
    places = audit.placements(ledger)
    odd = audit.surprises(ledger, stream.lines, run.submitted)
    return {
        "disabling_injected": len(stream.disabling),
        "disabling_served": len(audit.disabling_served(ledger, stream.disabling)),
        "false_rejections": again.share,
        "benign_sent_to_weights": again.sent,
        "benign_turned_away": again.away,
        "falsely_rejected": dict(again.false),
        "lost": len(missing := audit.lost(ledger, run.submitted, now_s=now_s)),
        "lost_names": missing,
        "applied_twice": len(audit.applied_twice(ledger)),
        "facts": {"memory": places.memory, "weights": places.weights},
        "share_in_weights": places.share_in_weights,
        "turned_away": places.turned_away,
        "turned_away_full": places.turned_away_full,
        "capacity_ratio": workbench.capacity_ratio(ledger.edits()),
        "capacity_limit": policy.guard.capacity_ratio_max,
        "unexpected_fates": len(odd) / len(stream.lines),
        "surprises": [asdict(item) for item in odd],
    }


def assess_run(run: Run, stream: DemoStream) -> dict[str, Any]:
    """Time: per correction, by stage."""
    lines = len(stream.lines)
    return {
        "corrections": lines,
        "lines_by_kind": stream.counts,
        "finished": run.finished,
        "turns": run.turns,
        "seconds": run.seconds,
        "seconds_per_correction": run.seconds / lines,
        "seconds_per_correction_by_stage": {
            stage: seconds / lines for stage, seconds in sorted(run.spent.items())
        },
    }


def assess_hashes(checks: Sequence[HashCheck], problems: Sequence[str]) -> dict[str, Any]:
    """Every comparison of digests, and what verifying the ledger found."""
    return {
        "hashes_equal": bool(checks) and all(check.equal for check in checks),
        "hashes": [{**asdict(check), "equal": check.equal} for check in checks],
        "ledger_problems": list(problems),
    }


def assess_unguarded(found: Unguarded) -> dict[str, Any]:
    """The comparison, in the same words."""
    return {
        **_flat(found.scores),
        "perplexity_ratio": found.fluency.ratio,
        "perplexity_ratio_between": [found.fluency.lower, found.fluency.upper],
        "written": found.written,
        "refused": found.refused,
        f"perplexity_above_{COLLAPSED:g}x_at": found.collapsed_at,
        "seconds_per_correction": found.seconds / found.written if found.written else float("nan"),
        "curve": list(found.curve),
    }


def _flat(scores: Scores) -> dict[str, Any]:
    values: Mapping[str, Any] = asdict(scores)
    return dict(values)
