"""Names of the outside that changed: the old one still works for one version, with a warning."""

from __future__ import annotations

import warnings


class RenamedWarning(FutureWarning):
    """An old name was used. It is understood in this version and gone in the next."""


def warn_renamed(what: str, old: str, new: str) -> None:
    """Warn that `what`, such as "field" or "option", is now called `new`."""
    warnings.warn(
        f"{what} {old!r} is now called {new!r}: the old name is understood in 0.2 and gone in 0.3",
        RenamedWarning,
        stacklevel=3,
    )
