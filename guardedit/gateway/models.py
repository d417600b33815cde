"""The models that a client can name: the serving epoch, any other epoch, and the base model."""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from guardedit.core.errors import UsageError
from guardedit.core.serving import Snapshot
from guardedit.gateway.asking import Asker
from guardedit.models.host import ModelHost
from guardedit.models.streaming.engine import Engine
from guardedit.models.weights.fold import Fold
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import MOST_DIGITS, begun, existing, exists
from guardedit.runtime.operator.answers import base_snapshot
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

SERVING, BASE = "serving", "base"
#: Epochs other than the serving one that are kept ready to answer.
_READY = 3
#: Latest epochs that `/v1/models` lists.
LISTED = 20


class UnknownModel(UsageError):
    """Raised when a request names a model that is not served."""


class ServedModels:
    """Finds the replica that a client names. Thread-safe.

    Names are `serving`, which moves with the ledger, `base`, `epoch:N`, a ref of the ledger such as
    `last-good`, and the aliases, which mean `serving`.

    Args:
        settings: home folder of the ledger.
        policy: its memory section decides about questions of unsure scope.
        host: the model.
        fold: of the same model.
        engine: on the same model.
        serving: the replica that follows the ledger.
        memory: makes an empty memory for another epoch.
        aliases: further names of the serving epoch.
        usual_tokens: most tokens of an answer where a client names no number.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        host: ModelHost,
        fold: Fold,
        engine: Engine,
        serving: ServingReplica,
        memory: Callable[[], MemoryShard],
        aliases: Sequence[str] = (),
        usual_tokens: int,
    ) -> None:
        self._settings, self._policy = settings, policy
        self._host, self._fold, self._engine = host, fold, engine
        self._memory, self._usual = memory, usual_tokens
        self.aliases = tuple(aliases)
        self._serving = self._asker(serving)
        self._ready: OrderedDict[int, Asker] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, name: str) -> Asker:
        """The asker of a model.

        Raises:
            UnknownModel: there is none of this name; lists the known ones.
        """
        if name in (SERVING, *self.aliases):
            return self._serving
        number = self._number(name)
        with self._lock:
            if number not in self._ready:
                self._ready[number] = self._asker(self._replica(number))
                while len(self._ready) > _READY:
                    self._ready.popitem(last=False)
            self._ready.move_to_end(number)
            return self._ready[number]

    def names(self) -> list[str]:
        """The names of the models, `serving` first, with the latest epochs only."""
        refs, latest = list[str](), 0
        if exists(self._settings):
            with existing(self._settings) as ledger:
                if begun(ledger):
                    refs = [name for name in ledger.refs() if name != SERVING]
                    latest = ledger.ref(SERVING)
        epochs = [f"epoch:{n}" for n in range(latest, max(-1, latest - LISTED), -1)]
        return list(dict.fromkeys([SERVING, *self.aliases, BASE, *refs, *epochs]))

    def _number(self, name: str) -> int:
        if name == BASE:
            return 0
        epoch = name.removeprefix("epoch:")
        numbered = epoch != name and epoch.isdecimal() and len(epoch) <= MOST_DIGITS
        try:
            if exists(self._settings):
                with existing(self._settings) as ledger:
                    if begun(ledger):
                        return ledger.epoch(int(epoch)).number if numbered else ledger.ref(name)
            if numbered and int(epoch) == 0:
                return 0
        except UsageError:
            pass
        known = ", ".join(self.names()[:6])
        raise UnknownModel(f"there is no model {name!r:.100}: known are {known}; `/v1/models` lists them")

    def _replica(self, number: int) -> ServingReplica:
        replica = ServingReplica(
            self._host,
            self._fold,
            [self._memory()],
            use_unsure=self._policy.memory.unsure == "use_fact",
            clock=time.time,
            prompts=self._serving.replica.prompts,
        )
        replica.publish(self._snapshot(number))
        return replica

    def _snapshot(self, number: int) -> Snapshot:
        if number and exists(self._settings):
            with existing(self._settings) as ledger:
                return ledger.snapshot(number)
        return base_snapshot(self._host.base_sha256, self._policy)

    def _asker(self, replica: ServingReplica) -> Asker:
        host = self._host
        # A tokenizer of its own: those of the transformers library are not safe to share between threads.
        tokenizer = copy.deepcopy(host.tokenizer)
        return Asker(replica, self._engine, tokenizer, context=host.context, usual_tokens=self._usual)
