"""The scope test: the features of a question and a fact, and the thresholds on their score."""

from __future__ import annotations

from guardedit.memory.scope.bands import ScopeBands
from guardedit.memory.scope.features import Features, is_comparable
from guardedit.memory.scope.thresholds import ACCEPT, OUT, UNSURE, ScopeThresholds, ScopeVerdict, judge_scope

__all__ = [
    "ACCEPT",
    "OUT",
    "UNSURE",
    "Features",
    "ScopeBands",
    "ScopeThresholds",
    "ScopeVerdict",
    "is_comparable",
    "judge_scope",
]
