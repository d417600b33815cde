"""The guard against model collapse: probes, gates, bisection of failing batches, and the drift watch."""

from __future__ import annotations

from guardedit.core.drift import Breach, Reading
from guardedit.guard.bisection import Bisection, bisect
from guardedit.guard.collapse_guard import CollapseGuard
from guardedit.guard.detectors.cusum import Cusum
from guardedit.guard.detectors.detector import Detector
from guardedit.guard.detectors.drift import DriftWatch, usual_detectors
from guardedit.guard.detectors.ewma import Ewma
from guardedit.guard.detectors.no_drift import NoDrift
from guardedit.guard.limits import DriftLimits, GuardLimits
from guardedit.guard.no_guard import NoGuard
from guardedit.guard.noise import NOISE_FILE, Noise
from guardedit.guard.probes import ProbeSet

#: All detectors; the conformance tests run over this tuple.
DETECTORS: tuple[type[Detector], ...] = (Cusum, Ewma, NoDrift)

__all__ = [
    "DETECTORS",
    "NOISE_FILE",
    "Bisection",
    "Breach",
    "CollapseGuard",
    "Cusum",
    "Detector",
    "DriftLimits",
    "DriftWatch",
    "Ewma",
    "GuardLimits",
    "NoDrift",
    "NoGuard",
    "Noise",
    "ProbeSet",
    "Reading",
    "bisect",
    "usual_detectors",
]
