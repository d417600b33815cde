"""Computes the fields of the demo's report (`demo.json`) about a finished run, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from guardedit import assembly
from guardedit.agent.kept import KeptFacts
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.core.protocols import Worker
from guardedit.demo.assess import audit
from guardedit.demo.assess.retrial import false_rejections
from guardedit.demo.assess.served import disabling_epochs, served_weights, worst
from guardedit.demo.assess.times import time_until_live
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.disabling.harm import DISABLING_LOST, DISABLING_RATIO
from guardedit.demo.disabling.held_out import HeldOut
from guardedit.demo.recovery import HashCheck
from guardedit.demo.scores import (
    AnswerScores,
    Ask,
    PerplexityRatio,
    Questions,
    answers,
    compare_perplexity,
    count,
)
from guardedit.demo.stream.expected import DemoStream
from guardedit.demo.streaming import StreamRun
from guardedit.demo.worlds.stream_world import StreamWorld
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.runtime.system import System
from guardedit.settings import Settings

#: Stages of the loop that belong to the guard.
GUARD_STAGES = frozenset({"inspected", "judged", "watched"})
#: Questions in one call of a replica.
AT_ONCE = 256


def ask_base(worker: Worker, asked: Callable[[str], str] = str) -> Ask:
    """Asks the base model alone; `asked` makes the text that it is given for a question."""

    def ask(prompts: Sequence[str]) -> list[str]:
        texts = [asked(prompt) for prompt in prompts]
        questions = tuple(Question(prompt=text, kind=QuestionKind.OTHER_SUBJECT) for text in texts)
        answers = worker.measure((), Probes(texts=(), questions=questions)).answers
        return [answers[text] for text in texts]

    return ask


def ask_served(system: System) -> Ask:
    """Asks the system as its users do: memory and weights."""

    def ask(prompts: Sequence[str]) -> list[str]:
        parts = [prompts[at : at + AT_ONCE] for at in range(0, len(prompts), AT_ONCE)]
        return [answer.text for part in parts for answer in system.ask(part)]

    return ask


def answer_fields(
    system: System, ledger: LedgerReader, questions: Questions, texts: Sequence[str]
) -> dict[str, Any]:
    """The scores of the answers, in total and by placement, and the perplexity of the served weights."""
    probes = Probes(texts=tuple(texts))
    served = system.worker.measure(ledger.edits(), probes).logprobs
    ratio = compare_perplexity(served, system.worker.measure((), probes).logprobs)
    answered = answers(ask_served(system), questions)
    return {
        **score_fields(count(answered, questions)),
        **perplexity_fields(ratio),
        "by_placement": by_placement(answered, questions, ledger.live()),
        "perplexity_tokens": ratio.tokens,
    }


def by_placement(
    answered: Mapping[str, str], questions: Questions, live: Mapping[FactKey, Fact]
) -> dict[str, dict[str, float]]:
    """`exact_match` and `paraphrase` of the live facts in memory, of those in the weights, and of all."""
    placed = {
        place.value: {key for key, fact in live.items() if fact.placement is place} for place in Placement
    }
    fields = {}
    for name, keys in {**placed, "all": set(live)}.items():
        asked = questions.about(keys)
        scores = count(answered, asked)
        fields[name] = {
            "facts": len(asked.live),
            "exact_match": scores.exact_match,
            "paraphrase": scores.paraphrase,
        }
    return fields


def ledger_fields(
    ledger: LedgerReader,
    worker: Worker,
    *,
    stream: DemoStream,
    run: StreamRun,
    policy: Policy,
    settings: Settings,
    now_s: float,
) -> dict[str, Any]:
    """The ledger's numbers about the run, and the false rejections, found by retrying the rejected edits."""
    took = time_until_live(ledger)
    probe_set = assembly.load_probes(settings)
    rejections = false_rejections(
        ledger,
        worker,
        assembly.guard(policy, probe_set, assembly.load_prompts(settings), assembly.load_noise(settings)),
        lambda subject: assembly.known_questions(probe_set, subject),
        disabling=set(stream.disabling),
    )
    places = audit.placement_counts(ledger)
    unexpected = audit.unexpected_fates(ledger, stream.lines, run.submitted)
    lost = audit.lost_corrections(ledger, run.submitted, now_s=now_s)
    return {
        "live_p50_s": took.p50_s,
        "live_p99_s": took.p99_s,
        "live_longest_s": took.longest_s,
        "false_rejections": rejections.share,
        "benign_sent_to_weights": rejections.sent,
        "benign_turned_away": rejections.rejected,
        "falsely_rejected": dict(rejections.false),
        "lost": len(lost),
        "lost_names": lost,
        "applied_twice": len(audit.applied_twice(ledger)),
        "facts": {"memory": places.memory, "weights": places.weights},
        "share_in_weights": places.share_in_weights,
        "turned_away": places.unsuitable,
        "turned_away_full": places.full,
        "capacity_ratio": worker.capacity_ratio(ledger.edits()),
        "capacity_limit": policy.guard.capacity_ratio_max,
        "unexpected_fates": len(unexpected) / len(stream.lines),
        "surprises": [asdict(item) for item in unexpected],
    }


def harm_fields(
    ledger: LedgerReader, worker: Worker, world: StreamWorld, *, stream: DemoStream, held_out: HeldOut
) -> dict[str, Any]:
    """The harm of every disabling line and of every served epoch, by the same rule."""
    return {
        "disabling_rule": {"perplexity_ratio": DISABLING_RATIO, "answers_lost": DISABLING_LOST},
        "disabling_measured_on": {
            "texts": len(held_out.probes.texts),
            "questions": len(held_out.probes.questions),
        },
        "disabling_injected": sum(item.disabling for item in stream.disabling.values()),
        "disabling": disabling_lines(ledger, world, stream.disabling),
        **served_fields(ledger, worker, set(stream.disabling), held_out=held_out),
    }


def served_fields(
    ledger: LedgerReader, worker: Worker, disabling: Collection[str], *, held_out: HeldOut
) -> dict[str, Any]:
    """The harm of every served epoch, and how many disabling corrections (by id) were in one."""
    served = served_weights(ledger, worker, held_out)
    most = worst(served)
    return {
        "disabling_served": len(disabling_epochs(served)),
        "disabling_promoted": len(audit.disabling_promoted(ledger, disabling)),
        "served_worst": {"perplexity_ratio": most.perplexity_ratio, "answers_lost": most.answers_lost},
        "served_weights": len(served),
    }


def disabling_lines(
    ledger: LedgerReader, world: StreamWorld, disabling: Mapping[str, DisablingEdit]
) -> list[dict[str, Any]]:
    """Each disabling line: its harm alone, and why it was kept out of the weights."""
    facts = {fact.correction_id: name for name, fact in audit.recorded_facts(ledger).items()}
    kept = KeptFacts(ledger).now()
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
            "kept_out": why.reason if (why := kept.get(facts.get(name, ""))) else "",
        }
        for name, item in disabling.items()
    ]


def run_fields(run: StreamRun, stream: DemoStream) -> dict[str, Any]:
    """Time in total, per correction and by stage, and the guard's share."""
    lines = len(stream.lines)
    guard = math.fsum(seconds for stage, seconds in run.seconds_by_stage.items() if stage in GUARD_STAGES)
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
            stage: seconds / lines for stage, seconds in sorted(run.seconds_by_stage.items())
        },
    }


def recovery_fields(checks: Sequence[HashCheck], problems: Sequence[str]) -> dict[str, Any]:
    """Every comparison of digests, and the problems found by verifying the ledger."""
    return {
        "hashes_equal": bool(checks) and all(check.equal for check in checks),
        "hashes": [{**asdict(check), "equal": check.equal} for check in checks],
        "ledger_problems": list(problems),
    }


def score_fields(scores: AnswerScores) -> dict[str, Any]:
    """All scores and the wrong answers."""
    values: Mapping[str, Any] = asdict(scores)
    return dict(values)


def perplexity_fields(ratio: PerplexityRatio) -> dict[str, Any]:
    """The ratio with its bounds."""
    return {"perplexity_ratio": ratio.ratio, "perplexity_ratio_between": [ratio.lower, ratio.upper]}
