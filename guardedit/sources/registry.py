"""Opens sources by URL scheme. The module of a source is imported only when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import cast
from urllib.parse import urlencode

from guardedit.core.errors import SourceError
from guardedit.core.protocols import Source
from guardedit.settings import BROKERS, Settings

#: URL scheme -> "module:callable", called with the URL.
SCHEMES: Mapping[str, str] = MappingProxyType(
    {
        "file": "guardedit.sources.jsonl:open_file",
        **dict.fromkeys(BROKERS, "guardedit.sources.redis_stream:open_redis"),
    }
)


def open_source(url: str) -> Source:
    """Open the source with this URL. A broker is not contacted before the first pull.

    Raises:
        SourceError: the scheme is unknown, the URL cannot be used, or an extra is not installed.
    """
    # Messages quote only the scheme: the rest of the URL may contain a password.
    scheme, colon, _ = url.partition(":")
    target = SCHEMES.get(scheme.lower()) if colon else None
    if target is None:
        raise SourceError(_unknown(scheme) if colon else f"{url!r} is not a URL: for a file write file:{url}")
    module, _, attribute = target.partition(":")
    opener = cast("Callable[[str], Source]", getattr(import_module(module), attribute))
    return opener(url)


def open_sources(settings: Settings) -> list[Source]:
    """Open the brokers in the settings. The ledger's own inbox needs no source."""
    if not settings.redis_url:
        return []
    options = urlencode({"stream": settings.redis_stream, "group": settings.redis_group})
    return [open_source(f"{settings.redis_url}{'&' if '?' in settings.redis_url else '?'}{options}")]


def _unknown(scheme: str) -> str:
    close = get_close_matches(scheme.lower(), SCHEMES, n=1)
    hint = f"did you mean {close[0]}:? " if close else ""
    return f"unknown source scheme {scheme!r}: {hint}known are {', '.join(f'{s}:' for s in SCHEMES)}"
