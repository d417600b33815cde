"""The one place that names concrete classes: settings and policy in, working parts out.

Knows how the pieces are chosen and fitted together; does nothing with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode

from guardedit.agent.loop import Agent
from guardedit.agent.parts import Guard as GuardSeam
from guardedit.agent.parts import Limits, Parts
from guardedit.core.correction import Correction
from guardedit.core.errors import PolicyError, UsageError
from guardedit.core.probe import Kind, Question
from guardedit.core.protocols import Clock, Editor, Observer, Replica, Snapshot, Source, Workbench
from guardedit.editing.registry import Registry
from guardedit.editing.settings import EditSettings
from guardedit.guard import (
    CollapseGuard,
    DriftLimits,
    DriftWatch,
    GuardLimits,
    NoDrift,
    NoGuard,
    ProbeSet,
    bisect,
    usual_detectors,
)
from guardedit.ledger.journal import SqliteLedger
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.models.background import background_texts
from guardedit.models.fold import Fold
from guardedit.models.host import ModelHost, load_tokenizer
from guardedit.models.statistics import SecondMoments, load_or_collect
from guardedit.models.tokens import encode, subject_last
from guardedit.models.worker import ModelWorker
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.sources.registry import open_source

#: Files beside a model's weights.
EDIT_CARD = "edit_card.json"
PROBES = "probes.json"


#: Makes an editing method, as the registered classes' `build` does.
Builder = Callable[[ModelHost, Fold, SecondMoments, EditSettings], Editor]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCard:
    """Where a base model is best edited, found by a sweep; `edit_card.json` in the model's folder."""

    layer: int
    settings: Mapping[str, float]

    @staticmethod
    def load(folder: Path) -> EditCard | None:
        """The card of a model folder; None when it has none."""
        path = folder / EDIT_CARD
        if not path.is_file():
            return None
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            return EditCard(layer=int(body["layer"]), settings=dict(body.get("settings", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is not an edit card ({error}): it holds layer and settings") from error


def model_folder(settings: Settings) -> Path:
    """The folder of the base model; the embedded demo model when none is named."""
    return Path(settings.model) if settings.model else Path(str(files("guardedit"))) / "zoo" / "model"


def probe_file(settings: Settings) -> Path:
    """The guard's probe set: named in the environment, or the one beside the model."""
    return settings.probes or model_folder(settings) / PROBES


def load_probes(settings: Settings) -> ProbeSet:
    """The probe set; UsageError with the remedy when there is none."""
    path = probe_file(settings)
    if not path.is_file():
        raise UsageError(
            f"no probe set at {path}: write one (texts and known questions) and name it in GUARDEDIT_PROBES"
        )
    return ProbeSet.load(path)


def edit_settings(policy: Policy) -> EditSettings:
    """The editing method's dials: its own, with what the policy says instead."""
    given = policy.editing.model_dump(exclude_none=True)
    names = {item.name for item in fields(EditSettings)}
    return EditSettings(**{name: value for name, value in given.items() if name in names})


def edit_layer(policy: Policy, settings: Settings) -> int:
    """The layer to edit: the policy's, else the model card's."""
    if policy.editing.layer is not None:
        return policy.editing.layer
    card = EditCard.load(model_folder(settings))
    if card is None:
        raise PolicyError(
            f"editing.layer is null and {model_folder(settings)} has no {EDIT_CARD}: set editing.layer"
        )
    return card.layer


@dataclass(frozen=True)
class Bench:
    """A loaded model with what edits need; shared by worker and replica where they share a process."""

    host: ModelHost
    moments: SecondMoments  # of the layer that is edited
    fold: Fold
    editors: Mapping[str, Editor]


def load_bench(
    settings: Settings,
    policy: Policy,
    *,
    methods: Sequence[str] | None = None,
    extra: Mapping[str, Builder] | None = None,
) -> Bench:
    """Load the model, its second moments and editing methods (default: all that are registered).

    `extra` adds methods that no registry should offer, such as the demo's fault injection.
    """
    host = ModelHost.load(model_folder(settings), device=_device(settings))
    layer = edit_layer(policy, settings)
    dials = edit_settings(policy)
    probes = load_probes(settings)
    known = [f"{q.prompt} {q.answer}." for q in probes.questions]
    cache = settings.home / "moments"
    width = host.base_matrix(layer).shape[1]
    texts = background_texts(host, [*probes.texts, *known], tokens=10 * width, folder=cache)
    moments = load_or_collect(cache, host, texts, [layer])
    fold = Fold(host, moments, background_weight=dials.background_weight, ridge=dials.ridge)
    registry = Registry()
    editors: dict[str, Editor] = {
        name: registry.resolve(name).build(host, fold, moments[layer], dials)
        for name in (registry.names if methods is None else methods)
    }
    editors |= {name: build(host, fold, moments[layer], dials) for name, build in (extra or {}).items()}
    return Bench(host, moments[layer], fold, editors)


def worker(bench: Bench) -> ModelWorker:
    """A model worker on a loaded bench."""
    return ModelWorker(bench.host, bench.fold, bench.editors)


def load_memory(settings: Settings, policy: Policy) -> RetrievalMemory:
    """An empty retrieval memory with its encoder."""
    encoder = SentenceEncoder.load(settings.encoder or None)
    section = policy.memory
    calibrated = ScopeThresholds.load()
    thresholds = replace(
        calibrated,
        accept=calibrated.accept if section.accept_threshold is None else section.accept_threshold,
        reject=calibrated.reject if section.unsure_threshold is None else section.unsure_threshold,
    )
    return RetrievalMemory(encoder, thresholds)


def open_ledger(
    settings: Settings, policy: Policy, *, base_sha256: str | None, clock: Clock, writer: bool = True
) -> SqliteLedger:
    """The ledger in the home folder."""
    return SqliteLedger.open(
        settings.home,
        base_sha256=base_sha256,
        policy_sha256=policy.sha256,
        weights_sha256=base_sha256 or "",
        clock=clock,
        writer=writer,
    )


def open_sources(settings: Settings) -> list[Source]:
    """The brokers named in the environment; the ledger's own inbox needs none."""
    if not settings.redis_url:
        return []
    options = urlencode({"stream": settings.redis_stream, "group": settings.redis_group})
    return [open_source(f"{settings.redis_url}{'&' if '?' in settings.redis_url else '?'}{options}")]


def guard(policy: Policy, probes: ProbeSet) -> CollapseGuard:
    """The collapse guard with the policy's limits."""
    g = policy.guard
    return CollapseGuard(
        probes,
        GuardLimits(
            max_relative_size=g.relative_size_max,
            max_value_ratio=g.value_ratio_max,
            max_key_outlier=g.key_outlier_max,
            max_background_error=g.background_error_max,
            max_capacity_ratio=g.capacity_ratio_max,
            max_ratio_to_serving=g.perplexity_ratio_to_serving,
            max_ratio_to_base=g.perplexity_ratio_to_base,
            max_worst_sentence_ratio=g.worst_sentence_ratio,
            min_reliability=g.reliability_min,
            min_paraphrase=g.paraphrase_min,
            min_other_subject=g.other_subject_min,
            min_other_subject_to_base=g.other_subject_to_base_min,
            min_same_subject=g.same_subject_min,
            min_earlier=g.earlier_min,
            confidence=g.confidence,
            min_texts=g.min_probe_texts,
            min_tokens=g.min_probe_tokens,
            min_other_subject_questions=g.min_other_subject_questions,
            other_subject_sample=g.other_subject_sample,
            earlier_sample=g.earlier_sample,
            shadow=frozenset(g.shadow),
        ),
    )


def drift_watch(policy: Policy) -> DriftWatch:
    """Budgets and detectors with the policy's limits."""
    d = policy.drift
    limits = DriftLimits(
        max_ratio_to_base=d.perplexity_ratio_to_base,
        max_ratio_to_last_good=d.perplexity_ratio_to_last_good,
        cusum_slack_nats=d.cusum_slack_nats,
        cusum_threshold_nats=d.cusum_threshold_nats,
        ewma_weight=d.ewma_lambda,
        ewma_deviation_nats=d.ewma_deviation_nats,
        ewma_limit_deviations=d.ewma_width,
    )
    return DriftWatch(limits, usual_detectors(limits))


def build_agent(
    *,
    settings: Settings,
    policy: Policy,
    ledger: SqliteLedger,
    workbench: Workbench,
    replicas: Sequence[Replica],
    check: Callable[[Correction], None],
    sources: Sequence[Source],
    observe: Observer,
    clock: Clock,
    guarded: bool = True,
) -> Agent:
    """The loop, with everything it talks to. `guarded` False is for comparison only."""
    probes = load_probes(settings)
    watch = drift_watch(policy)
    limits = Limits(
        batch=policy.editing.batch,
        batch_wait_s=policy.editing.max_batch_wait_s,
        capacity_ratio=policy.guard.capacity_ratio_max if guarded else float("inf"),
        drift_ratio=policy.drift.perplexity_ratio_to_base,
        shadow=policy.mode == "shadow",
    )
    collapse_guard: GuardSeam = guard(policy, probes) if guarded else NoGuard()
    return Agent(
        Parts(
            sources=sources,
            journal=ledger,
            decide=lambda correction, facts: decide(policy, correction, DecisionContext(**facts)),
            check=check,
            known_questions=lambda subject: known_questions(probes, subject),
            workbench=workbench,
            guard=collapse_guard,
            bisect=bisect,
            drift=watch if guarded else DriftWatch(DriftLimits(max_ratio_to_base=float("inf")), [NoDrift()]),
            replicas=replicas,
            observe=observe,
            clock=clock,
            limits=limits,
            settings_sha256=edit_settings(policy).sha256,
        )
    )


def known_questions(probes: ProbeSet, subject: str) -> tuple[Question, ...]:
    """The catalogue's questions about a subject, one a relation, as answers to be kept."""
    chosen: dict[str, Question] = {}
    for known in probes.questions_about(subject):
        chosen.setdefault(
            known.relation,
            Question(
                prompt=known.prompt,
                kind=Kind.SAME_SUBJECT,
                expected=known.answer,
                subject=known.subject,
                relation=known.relation,
            ),
        )
    return tuple(chosen.values())


def tokenizer_check(settings: Settings) -> Callable[[Correction], None]:
    """What only the tokenizer can tell: the subject is found in every wording, and the prompt fits."""
    folder = model_folder(settings)
    tokenizer, context = load_tokenizer(folder)

    def check(correction: Correction) -> None:
        for wording in correction.wordings:
            encode(tokenizer, f"{wording} {correction.target_new}", context=context)
            subject_last(tokenizer, wording, correction.subject)

    return check


def last_snapshot(settings: Settings) -> Snapshot | None:
    """The serving epoch as the ledger has it; None before there is a ledger."""
    if not (settings.home / "ledger.db").is_file():
        return None
    with SqliteLedger.open(settings.home, clock=time.time, writer=False) as ledger:
        return Snapshot(epoch=ledger.epoch(), edits=ledger.edits(), facts=tuple(ledger.live().values()))


def _device(settings: Settings) -> str:
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
