"""Where this process finds its things: addresses, folders, device. Read from the environment only.

Never behaviour: what is done with a correction is in the policy. Nothing is opened or created here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from guardedit.core.errors import UsageError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

#: Schemes of a broker's address, each with the one that redis-py knows it by: Valkey speaks its protocol.
BROKERS: Mapping[str, str] = MappingProxyType(
    {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss", "unix": "unix"}
)
_BROKER_REMEDY = (
    "use redis://host:6379/0 or valkey://..., rediss:// or valkeys:// for TLS, or unix:///path/to/socket"
)


class Address(NamedTuple):
    """A host and a TCP port; port 0 lets the system choose."""

    host: str
    port: int


#: On the loopback address, since the page asks for no password.
DEFAULT_METRICS = Address("127.0.0.1", 9108)


def shipped_policy(name: str) -> Path:
    """A policy that comes with the project: in the working folder, the source tree, or where pip put it."""
    folders = (
        Path("policies"),
        Path(__file__).parents[1] / "policies",
        Path(sys.prefix) / "share" / "guardedit" / "policies",
    )
    return next((path for folder in folders if (path := folder / name).is_file()), folders[0] / name)


def is_broker(url: str) -> bool:
    """Whether a URL can be a broker's address; who is there is another matter.

    >>> is_broker("valkeys://:secret@broker:6380/1"), is_broker("unix:///run/valkey.sock?db=1")
    (True, True)
    >>> is_broker("redis:///0"), is_broker("unix://run/valkey.sock"), is_broker("http://broker")
    (False, False, False)
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is not a port
    except ValueError:
        return False
    if parts.scheme not in BROKERS or "\0" in url:
        return False
    if parts.scheme == "unix":
        return bool(parts.path.strip("/")) and not parts.hostname
    return bool(parts.hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's surroundings.

    Attributes:
        home: folder of the ledger and its blobs. GUARDEDIT_HOME.
        policy: the policy file; default: the shipped `default.yaml`. GUARDEDIT_POLICY.
        model: folder or name of the base model; empty is the embedded demo model. GUARDEDIT_MODEL.
        probes: the guard's probe set; None is the `probes.json` beside the model. GUARDEDIT_PROBES.
        encoder: folder or name of the sentence encoder; empty is the packaged MiniLM. GUARDEDIT_ENCODER.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`. GUARDEDIT_DEVICE.
        metrics: where `/metrics` listens, None for nowhere. GUARDEDIT_METRICS, `host:port` or `off`.
        redis_url: the broker, empty for none; may hold a password, so it is not in the repr.
            GUARDEDIT_REDIS_URL.
        redis_stream: name of the stream. GUARDEDIT_REDIS_STREAM.
        redis_group: name of the consumer group. GUARDEDIT_REDIS_GROUP.
        ledger_key: signs the ledger's heads, empty for none; a secret, so it is not in the repr.
            GUARDEDIT_LEDGER_KEY.
        runtime: `local` runs everything in this process, `ray` in actors. GUARDEDIT_RUNTIME.
        ray_address: an existing cluster; empty starts one on this machine. GUARDEDIT_RAY_ADDRESS.
        model_workers: how many model workers to start. GUARDEDIT_MODEL_WORKERS.
    """

    home: Path = Path(".guardedit")
    policy: Path = field(default_factory=lambda: shipped_policy("default.yaml"))
    model: str = ""
    probes: Path | None = None
    encoder: str = ""
    device: str = "auto"
    metrics: Address | None = DEFAULT_METRICS
    redis_url: str = field(default="", repr=False)
    redis_stream: str = "guardedit:corrections"
    redis_group: str = "guardedit"
    ledger_key: bytes = field(default=b"", repr=False)
    runtime: Literal["local", "ray"] = "local"
    ray_address: str = ""
    model_workers: int = 1

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Settings:
        """Read the GUARDEDIT_ variables; one that is unset or empty takes its default.

        Raises:
            UsageError: naming every variable that is wrong, its value and the remedy.
        """
        reader = _Reader(env)
        default = Settings()
        settings = Settings(
            home=reader.path("GUARDEDIT_HOME", default.home),
            policy=reader.path("GUARDEDIT_POLICY", default.policy),
            model=reader.text("GUARDEDIT_MODEL"),
            probes=reader.path("GUARDEDIT_PROBES", Path()) if reader.text("GUARDEDIT_PROBES") else None,
            encoder=reader.text("GUARDEDIT_ENCODER"),
            device=reader.shaped(
                "GUARDEDIT_DEVICE", default.device, _DEVICE, "use auto, cpu, mps, cuda or cuda:0"
            ),
            metrics=reader.address("GUARDEDIT_METRICS", default.metrics),
            redis_url=reader.redis_url("GUARDEDIT_REDIS_URL"),
            redis_stream=reader.name("GUARDEDIT_REDIS_STREAM", default.redis_stream),
            redis_group=reader.name("GUARDEDIT_REDIS_GROUP", default.redis_group),
            ledger_key=reader.text("GUARDEDIT_LEDGER_KEY").encode("utf-8", "surrogateescape"),
            runtime=reader.runtime("GUARDEDIT_RUNTIME", default.runtime),
            ray_address=reader.text("GUARDEDIT_RAY_ADDRESS"),
            model_workers=reader.count("GUARDEDIT_MODEL_WORKERS", default.model_workers),
        )
        if reader.problems:
            raise UsageError("\n".join(reader.problems))
        return settings


class _Reader:
    """Reads variables and gathers what is wrong; after a problem it hands out the default."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []

    def text(self, variable: str) -> str:
        return self.env.get(variable, "").strip()

    def path(self, variable: str, default: Path) -> Path:
        text = self.text(variable)
        if "\0" in text:
            self._refuse(variable, text, "remove the NUL character")
            return default
        path = Path(text) if text else default
        # expanduser asks the process's own environment; here only `env` counts.
        home = self.text("HOME")
        return Path(home, *path.parts[1:]) if path.parts[:1] == ("~",) and home else path

    def shaped(self, variable: str, default: str, shape: re.Pattern[str], remedy: str) -> str:
        text = self.text(variable)
        if text and not shape.fullmatch(text):
            self._refuse(variable, text, remedy)
            return default
        return text or default

    def name(self, variable: str, default: str) -> str:
        remedy = "use up to 128 letters, digits and . _ : -, beginning with a letter or digit"
        return self.shaped(variable, default, _PLAIN_NAME, remedy)

    def runtime(self, variable: str, default: Literal["local", "ray"]) -> Literal["local", "ray"]:
        match self.text(variable):
            case "":
                return default
            case "local":
                return "local"
            case "ray":
                return "ray"
            case other:
                self._refuse(variable, other, "use local or ray")
                return default

    def count(self, variable: str, default: int) -> int:
        text = self.text(variable)
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) < 1:
            self._refuse(variable, text, "use a whole number from 1 to 9999")
            return default
        return int(text)

    def address(self, variable: str, default: Address | None) -> Address | None:
        text = self.text(variable)
        if not text or text == "off":
            return default if not text else None
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")  # an IPv6 address
        if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
            self._refuse(variable, text, "use host:port, such as 127.0.0.1:9108, or off")
            return default
        return Address(host, int(port))

    def redis_url(self, variable: str) -> str:
        text = self.text(variable)
        if not text:
            return ""
        if not is_broker(text):
            # The value may hold a password, and errors end up in logs.
            self.problems.append(f"{variable} is not a Redis address: {_BROKER_REMEDY}")
            return ""
        return text

    def _refuse(self, variable: str, value: str, remedy: str) -> None:
        self.problems.append(f"{variable} is {value!r}: {remedy}")
