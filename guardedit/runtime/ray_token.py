"""The token that Ray asks of everybody who connects."""

from __future__ import annotations

import os


def use_token(token: str) -> None:
    """Have Ray ask for a token, this one unless the environment names another. Before it is imported.

    Ray reads these variables once, at its import.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", token)
