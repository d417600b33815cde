"""Everything that can be said of a finished run, as plain data for `demo.json`.

Puts together what the other files of this package measure; decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from guardedit import assembly
from guardedit.agent.kept import KeptFacts
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Kind, Probes, Question
from guardedit.core.protocols import Worker
from guardedit.demo.assess import audit
from guardedit.demo.assess.retrial import false_rejections
from guardedit.demo.assess.served import disabling_epochs, served_weights, worst
from guardedit.demo.assess.times import time_to_live
from guardedit.demo.campaign import HashCheck, Run, System
from guardedit.demo.disabling import Disabling
from guardedit.demo.expected import DemoStream
from guardedit.demo.harm import DISABLING_LOST, DISABLING_RATIO
from guardedit.demo.held_out import HeldOut
from guardedit.demo.scores import Ask, Fluency, Questions, Scores, answers, count, fluency
from guardedit.demo.unguarded import Course
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.zoo.world import World

#: Stages of the loop that are the guard's: without it, that time would not be spent.
GUARD_STAGES = frozenset({"inspected", "judged", "watched"})
#: Questions in one call of a replica.
AT_ONCE = 256


def ask_base(worker: Worker) -> Ask:
    """The base model alone, in the form that the scores ask."""

    def ask(prompts: Sequence[str]) -> list[str]:
        questions = tuple(Question(prompt=prompt, kind=Kind.OTHER_SUBJECT) for prompt in prompts)
        answers = worker.measure((), Probes(texts=(), questions=questions)).answers
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
    """The scores by free generation, all and by placement, and the perplexity of what is served."""
    probes = Probes(texts=tuple(texts))
    served = system.worker.measure(ledger.edits(), probes).logprobs
    pair = fluency(served, system.worker.measure((), probes).logprobs)
    answered = answers(ask_served(system), questions)
    return {
        **_flat(count(answered, questions)),
        **_fluency(pair),
        "by_placement": by_placement(answered, questions, ledger.live()),
        "perplexity_tokens": pair.tokens,
    }


def by_placement(
    answered: Mapping[str, str], questions: Questions, live: Mapping[FactKey, Fact]
) -> dict[str, dict[str, float]]:
    """`exact_match` and `paraphrase` of the live facts in memory, of those in the weights, and of all."""
    placed = {
        place.value: {key for key, fact in live.items() if fact.placement is place} for place in Placement
    }
    found = {}
    for name, keys in {**placed, "all": set(live)}.items():
        asked = questions.about(keys)
        scores = count(answered, asked)
        found[name] = {
            "facts": len(asked.live),
            "exact_match": scores.exact_match,
            "paraphrase": scores.paraphrase,
        }
    return found


def assess_ledger(
    ledger: LedgerReader,
    worker: Worker,
    *,
    stream: DemoStream,
    run: Run,
    policy: Policy,
    settings: Settings,
    now_s: float,
) -> dict[str, Any]:
    """What the ledger says of the run, false rejections tried again."""
    took = time_to_live(ledger)
    probe_set = assembly.load_probes(settings)
    again = false_rejections(
        ledger,
        worker,
        assembly.guard(policy, probe_set),
        lambda subject: assembly.known_questions(probe_set, subject),
        disabling=set(stream.disabling),
    )
    places = audit.placements(ledger)
    odd = audit.surprises(ledger, stream.lines, run.submitted)
    return {
        "live_p50_s": took.p50_s,
        "live_p99_s": took.p99_s,
        "live_longest_s": took.longest_s,
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
        "capacity_ratio": worker.capacity_ratio(ledger.edits()),
        "capacity_limit": policy.guard.capacity_ratio_max,
        "unexpected_fates": len(odd) / len(stream.lines),
        "surprises": [asdict(item) for item in odd],
    }


def assess_harm(
    ledger: LedgerReader, worker: Worker, world: World, *, stream: DemoStream, apart: HeldOut
) -> dict[str, Any]:
    """Every disabling line and every epoch that was served, by one and the same rule."""
    return {
        "disabling_rule": {"perplexity_ratio": DISABLING_RATIO, "answers_lost": DISABLING_LOST},
        "disabling_measured_on": {
            "texts": len(apart.probes.texts),
            "questions": len(apart.probes.questions),
        },
        "disabling_injected": sum(item.disabling for item in stream.disabling.values()),
        "disabling": disabling_lines(ledger, world, stream.disabling),
        **assess_served(ledger, worker, set(stream.disabling), apart=apart),
    }


def assess_served(
    ledger: LedgerReader, worker: Worker, disabling: Collection[str], *, apart: HeldOut
) -> dict[str, Any]:
    """Every epoch that was served, by the rule for disabling; and which disabling corrections were in one."""
    served = served_weights(ledger, worker, apart)
    most = worst(served)
    return {
        "disabling_served": len(disabling_epochs(served)),
        "disabling_promoted": len(audit.disabling_promoted(ledger, disabling)),
        "served_worst": {"perplexity_ratio": most.perplexity_ratio, "answers_lost": most.answers_lost},
        "served_weights": len(served),
    }


def disabling_lines(
    ledger: LedgerReader, world: World, disabling: Mapping[str, Disabling]
) -> list[dict[str, Any]]:
    """Each line that is meant to ruin the model: what it does alone, and why it was kept out."""
    facts = {fact.correction_id: name for name, fact in audit.recorded_facts(ledger).items()}
    away = KeptFacts(ledger).now()
    return [
        {
            "id": name,
            "kind": item.kind,
            "prompt": world.prompt(item.fact, item.wordings[0]),
            "target": item.target,
            "perplexity_ratio": item.harm.perplexity_ratio if item.harm else math.nan,
            "answers_lost": item.harm.answers_lost if item.harm else math.nan,
            "disabling": item.disabling,
            "problem": item.harm.problem if item.harm else "",
            "kept_out": why.reason if (why := away.get(facts.get(name, ""))) else "",
        }
        for name, item in disabling.items()
    ]


def assess_run(run: Run, stream: DemoStream) -> dict[str, Any]:
    """Time: in all, per correction, by stage, and what of it was the guard's."""
    lines = len(stream.lines)
    guard = math.fsum(seconds for stage, seconds in run.spent.items() if stage in GUARD_STAGES)
    return {
        "corrections": lines,
        "lines_by_kind": stream.counts,
        "finished": run.finished,
        "turns": run.turns,
        "seconds": run.seconds,
        "guard_seconds": guard,
        "seconds_without_guard": run.seconds - guard,
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


def assess_course(course: Course, scores: Scores, pair: Fluency) -> dict[str, Any]:
    """A comparison, in the same words; asked of what it had been handed when it ended."""
    return {
        **_flat(scores),
        **_fluency(pair),
        "lines": course.lines,
        "gone": course.gone,
        "edits": course.edits,
        "seconds": course.seconds,
        "seconds_per_correction": course.seconds / course.lines if course.lines else math.nan,
        "curve": [list(point) for point in course.curve],
    }


def _fluency(pair: Fluency) -> dict[str, Any]:
    return {"perplexity_ratio": pair.ratio, "perplexity_ratio_between": [pair.lower, pair.upper]}


def _flat(scores: Scores) -> dict[str, Any]:
    values: Mapping[str, Any] = asdict(scores)
    return dict(values)
