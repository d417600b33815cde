"""Sets the token that Ray requires of every client."""

from __future__ import annotations

import os


def use_token(token: str) -> None:
    """Make Ray require a token: this one, unless the environment names another.

    Call it before Ray is imported, because Ray reads these variables once, at its import.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", token)
