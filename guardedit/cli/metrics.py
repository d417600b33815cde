"""`guardedit metrics`: the metrics page once, from the ledger, without a server."""

from __future__ import annotations

import guardedit
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Home, settings_from
from guardedit.runtime.opening import begun, existing


def metrics(*, home: Home = None) -> None:
    """Print the metrics as Prometheus reads them.

    Computed from the ledger; what only a running coordinator knows is left out.
    """
    from prometheus_client.exposition import generate_latest

    from guardedit.sources.registry import open_sources
    from guardedit.telemetry.exporter import registry
    from guardedit.telemetry.observer import MetricsObserver

    settings = settings_from(home)
    brokers = [source.name for source in open_sources(settings)]
    with existing(settings) as ledger:
        epoch = ledger.epoch() if begun(ledger) else None
        page = registry(
            read=ledger.counts,
            seen=MetricsObserver().seen,
            sources=[*brokers, "submit"],
            build={
                "version": guardedit.__version__,
                "model": epoch.base_sha256[:12] if epoch else "",
                "policy_sha": epoch.policy_sha256[:12] if epoch else "",
            },
        )
        show.page(generate_latest(page).decode())
