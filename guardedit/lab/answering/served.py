"""A replica behind a real HTTP server on a free port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from guardedit.gateway.checking import App
from guardedit.gateway.listening import Listener, in_thread
from guardedit.gateway.models import ServedModels
from guardedit.gateway.openai.app import openai_app
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.models.streaming.engine import Engine
from guardedit.models.weights.fold import Fold
from guardedit.policy.schema import Policy
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Address, Settings

#: Most answers that are made at the same time: as many as clients ask.
MOST_ROWS = 64


@contextmanager
def served_locally(
    settings: Settings,
    policy: Policy,
    *,
    host: ModelHost,
    fold: Fold,
    replica: ServingReplica,
    memory: RetrievalMemory,
) -> Iterator[str]:
    """Serve a replica; yields the address of the server."""
    engine = Engine(host, most_rows=MOST_ROWS)
    models = ServedModels(
        settings,
        policy,
        host=host,
        fold=fold,
        engine=engine,
        serving=replica,
        memory=lambda: MemoryShard(memory.empty()),
        usual_tokens=host.context,
    )
    try:
        with local_server(openai_app(models, tokenizer=host.tokenizer)) as url:
            yield url
    finally:
        engine.close()


def local_server(app: App) -> AbstractContextManager[str]:
    """A server for an application on a free port; gives its address."""
    return in_thread(Listener(address=Address("127.0.0.1", 0)), app)
