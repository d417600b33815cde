"""Makes the settings of the demo: no network, and one model worker for each of up to four cores."""

from __future__ import annotations

import os
from dataclasses import replace

from guardedit.settings import Settings

#: Most model workers that are started by the number of cores.
MOST_WORKERS = 4


def isolated(settings: Settings) -> Settings:
    """The settings without metrics port, broker and Ray cluster, and with a worker for each of four cores.

    Workers run one thread each: threads of one process wait for each other at every operator, which is ten
    times slower when other work runs beside them.
    """
    workers = max(settings.model_workers, min(MOST_WORKERS, os.cpu_count() or 1))
    return replace(settings, metrics=None, redis_url="", ray_address="", model_workers=workers)
