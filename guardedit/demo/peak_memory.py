"""Measures the peak memory of this process and all its living descendants."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_bytes() -> int:
    """Sum of the largest resident sizes of this process and its living descendants.

    Shared pages count in each process. Without /proc: the larger of this process and its ended children.
    """
    processes = _processes()
    if not processes:
        unit = 1 if sys.platform == "darwin" else 1024
        peaks = [
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return max(peaks) * unit
    family = {_own_id()}
    # Each round adds one generation of descendants.
    while grown := {pid for pid, (parent, _) in processes.items() if parent in family} - family:
        family |= grown
    return sum(processes[pid][1] for pid in family if pid in processes)


def _processes() -> dict[int, tuple[int, int]]:
    """Process id -> (parent's id, peak resident size in bytes)."""
    found: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            rows = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:  # the process has ended
            continue
        peak_kib = int(rows.get("VmHWM", "0 kB").split()[0])
        found[int(path.parent.name)] = (int(rows["PPid"]), peak_kib * 1024)
    return found


def _own_id() -> int:
    return int(Path("/proc/self").readlink().name)
