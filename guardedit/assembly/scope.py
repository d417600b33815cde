"""Builds the retrieval memory with what decides about scope: the encoder, the judge and the thresholds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.judge.trained import SHIPPED, TrainedJudge
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.scope.bands import ScopeBands
from guardedit.memory.store import RetrievalMemory
from guardedit.memory.vectors.kept import KeepingEncoder, KeptVectors
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Holds the vectors of the facts' texts, in the home folder; it may be deleted at any time.
KEPT_VECTORS = "vectors.db"
#: Value of GUARDEDIT_JUDGE that leaves the decision to the features.
NO_JUDGE = "none"


def load_memory(settings: Settings, policy: Policy, *, keep: bool = False) -> RetrievalMemory:
    """Load the encoder and the judge, and make an empty retrieval memory.

    With `keep` the vectors of its facts are kept in the home folder, for facts of the ledger there.
    """
    judge = load_judge(settings)
    encoder = SentenceEncoder.load(settings.encoder or None)
    thresholds = scope_thresholds(settings, policy, judge)
    if not keep:
        return RetrievalMemory(encoder, thresholds, judge)
    kept = KeptVectors(settings.home / KEPT_VECTORS, encoder_sha256=encoder.sha256, dim=encoder.dim)
    return RetrievalMemory(encoder, thresholds, judge, keeping=KeepingEncoder(encoder, kept))


def load_judge(settings: Settings) -> TrainedJudge | None:
    """The judge of the settings; None where the features decide.

    Raises:
        MemoryIndexError: it cannot be loaded.
    """
    if settings.judge == NO_JUDGE:
        return None
    return TrainedJudge.load(Path(settings.judge).expanduser() if settings.judge else SHIPPED)


def scope_thresholds(settings: Settings, policy: Policy, judge: TrainedJudge | None) -> ScopeThresholds:
    """The thresholds that the policy sets, else those of the operator's bands, else the shipped ones.

    Raises:
        MemoryIndexError: the bands cannot be read, or are for another scope test.
    """
    section, calibrated = policy.memory, ScopeThresholds.load()
    if judge is not None:
        calibrated = judge.thresholds(calibrated)
    if settings.bands is not None:
        calibrated = ScopeBands.load(settings.bands).applied(calibrated)
    return replace(
        calibrated,
        accept=calibrated.accept if section.accept_threshold is None else section.accept_threshold,
        reject=calibrated.reject if section.unsure_threshold is None else section.unsure_threshold,
    )
