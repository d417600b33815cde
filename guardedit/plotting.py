"""Loads matplotlib on demand."""

from __future__ import annotations

from typing import Any

from guardedit.core.errors import UsageError


def load_pyplot() -> Any:
    """`matplotlib.pyplot`, drawing without a display.

    Raises:
        UsageError: when matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError("pictures need matplotlib: pip install 'guardedit[plots]'") from error
    mpl.use("agg")
    from matplotlib import pyplot as plt

    return plt
