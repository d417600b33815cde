"""Opens everything that `guardedit serve` runs: model, memory, engine and the follower of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from guardedit import assembly
from guardedit.gateway.following import LedgerFollower
from guardedit.gateway.models import ServedModels
from guardedit.gateway.openai.app import openai_app
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.models.streaming.engine import Engine
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.answers import served_snapshot
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: Most tokens of an answer where a client names no number.
USUAL_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers.

    Attributes:
        app: the HTTP application.
        models: what can be asked.
        follower: keeps the serving epoch up to date.
        engine: makes the answers.
    """

    app: FastAPI
    models: ServedModels
    follower: LedgerFollower
    engine: Engine


@dataclass(frozen=True, slots=True)
class OpenModels:
    """The models of a ledger, as `Served` has them."""

    models: ServedModels
    follower: LedgerFollower
    engine: Engine


@contextmanager
def open_served(
    settings: Settings,
    policy: Policy,
    *,
    aliases: Sequence[str] = (),
    most_rows: int = 32,
    most_waiting: int = 256,
    usual_tokens: int = USUAL_TOKENS,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Served]:
    """Load the model and serve the ledger's epochs, which a coordinator may write meanwhile.

    Args:
        settings: model and home folder.
        policy: its memory section decides about questions of unsure scope.
        aliases: further names of the model.
        most_rows: most answers that are made at the same time.
        most_waiting: most requests that wait for a place.
        usual_tokens: most tokens of an answer where a client names no number.
        tell: called with a line of text when a stage begins.

    Raises:
        WrongBaseModel: a file of the base model has changed since the ledger recorded it.
        UsageError: the model cannot be loaded or served.
    """
    tell("checking the files of the base model")
    assembly.require_unchanged_base(settings)
    tell("loading the model")
    host = assembly.load_host(settings)
    with open_models(
        settings,
        policy,
        host,
        assembly.load_memory(settings, policy, keep=True),
        aliases=(*aliases, _name(settings)),
        most_rows=most_rows,
        most_waiting=most_waiting,
        usual_tokens=usual_tokens,
        tell=tell,
    ) as opened:
        follower = opened.follower
        app = openai_app(opened.models, tokenizer=host.tokenizer, problem=lambda: follower.problem)
        yield Served(app, opened.models, follower, opened.engine)


@contextmanager
def open_models(
    settings: Settings,
    policy: Policy,
    host: ModelHost,
    memory: RetrievalMemory,
    *,
    aliases: Sequence[str] = (),
    most_rows: int,
    most_waiting: int,
    usual_tokens: int,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[OpenModels]:
    """The models of a ledger on a loaded one, and what keeps the serving epoch up to date.

    Args:
        settings: home folder of the ledger.
        policy: as for `open_served`.
        host: the model; nothing else should use it.
        memory: an empty memory.
        aliases: as for `open_served`.
        most_rows: most answers that are made at the same time.
        most_waiting: most requests that wait for a place.
        usual_tokens: as for `open_served`.
        tell: called with a line of text when a stage begins.
    """
    # Reads the second moments from the home folder, where the coordinator keeps them, once edits need them.
    fold = assembly.served_fold(settings, policy, host)
    serving = ServingReplica(
        host,
        fold,
        [MemoryShard(memory)],
        use_unsure=policy.memory.unsure == "use_fact",
        prompts=assembly.load_prompts(settings, policy),
    )
    engine = Engine(host, most_rows=most_rows, most_waiting=most_waiting)
    try:
        tell("publishing the serving epoch")
        serving.publish(served_snapshot(settings, policy, host.base_sha256))
        with LedgerFollower(settings, policy, serving, base_sha256=host.base_sha256) as follower:
            models = ServedModels(
                settings,
                policy,
                host=host,
                fold=fold,
                engine=engine,
                serving=serving,
                memory=lambda: MemoryShard(memory.empty()),
                aliases=aliases,
                usual_tokens=usual_tokens,
            )
            yield OpenModels(models, follower, engine)
    finally:
        engine.close()


def _name(settings: Settings) -> str:
    """The model's name as a client may use it."""
    return Path(settings.model).name if settings.model else "guardedit-demo"
