"""Where the time of a proposal goes, by Python's own profiler. Knows the functions that stand for a part."""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Mapping
from types import CodeType, MappingProxyType

#: Part -> functions whose time it is, as (end of the file's name, function). No function calls another's.
PARTS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "rows and tokens": (("editing/rows.py", "row_tensors"), ("methods/joint.py", "_usable")),
        "lower layers, once": (("editing/upper.py", "_run_lower"), ("editing/upper.py", "sites")),
        "directions": (("editing/directions.py", "of"),),
        "steps, forward": (("editing/objective.py", "_rows_of"),),
        "steps, backward": (("autograd/__init__.py", "grad"),),
        "fold": (("models/fold.py", "fold"),),
    }
)


def where(propose: Callable[[], object]) -> dict[str, float]:
    """Share of the time of a call, by part; what none of them names is `rest`."""
    profile = cProfile.Profile()
    profile.runcall(propose)
    seconds, whole = dict[tuple[str, str], float](), 0.0
    for entry in profile.getstats():
        # Not the longest call's: those of one name may lie inside each other, and together exceed it.
        whole += entry.inlinetime
        if isinstance(entry.code, CodeType):
            named = entry.code.co_filename, entry.code.co_name
            seconds[named] = seconds.get(named, 0.0) + entry.totaltime
    shares = {
        part: sum(
            spent
            for (file, name), spent in seconds.items()
            if any(name == wanted and file.endswith(end) for end, wanted in names)
        )
        / whole
        for part, names in PARTS.items()
    }
    return {**shares, "rest": 1.0 - sum(shares.values())}
