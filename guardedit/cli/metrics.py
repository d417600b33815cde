"""`guardedit metrics`: print the metrics page once, without a server."""

from __future__ import annotations

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Home, settings_from
from guardedit.runtime.opening import begun, existing
from guardedit.version import VERSION


def metrics(*, home: Home = None) -> None:
    """Print the metrics in Prometheus format.

    They are computed from the ledger. Values that only a running coordinator has are left out.
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
            observed=MetricsObserver().values,
            sources=[*brokers, "submit"],
            build={
                "version": VERSION,
                "model": epoch.base_sha256[:12] if epoch else "",
                "policy_sha": epoch.policy_sha256[:12] if epoch else "",
            },
        )
        show.page(generate_latest(page).decode())
