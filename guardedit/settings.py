"""The settings of a process: folders, addresses, device. Read from environment variables only.

Behaviour is not among them: what is done with a correction is in the policy. Nothing is opened or created
here.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from guardedit.core.errors import UsageError

#: Schemes of a broker's address -> the scheme that redis-py uses for it: Valkey speaks the same protocol.
BROKERS: Mapping[str, str] = MappingProxyType(
    {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss", "unix": "unix"}
)

_PREFIX = "GUARDEDIT_"
_NAME_REMEDY = "use up to 128 letters, digits and . _ : -, beginning with a letter or digit"
#: Field -> what a valid value is. Other fields take any text, or any path without a NUL character.
_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "device": "use auto, cpu, mps, cuda or cuda:0",
        "metrics": "use host:port, such as 127.0.0.1:9108, or off",
        "admin": "use host:port, such as 127.0.0.1:9109, or off",
        "admin_reading": "use open or tokens",
        "admin_open_to_all": "use yes or no",
        "admin_tls_certificate": "remove the NUL character",
        "admin_tls_key": "remove the NUL character",
        "redis_url": "use redis://host:6379/0 or valkey://..., rediss:// or valkeys:// for TLS, "
        "or unix:///path/to/socket",
        "redis_stream": _NAME_REMEDY,
        "redis_group": _NAME_REMEDY,
        "ledger_key": "use a text in UTF-8",
        "runtime": "use local or ray",
        "model_workers": "use a whole number from 1 to 9999",
        **dict.fromkeys(("home", "policy", "probes", "bands", "models"), "remove the NUL character"),
    }
)
#: Fields whose variables may begin with `~`.
_PATHS = frozenset({"home", "policy", "probes", "models", "bands", "admin_tls_certificate", "admin_tls_key"})
#: Fields whose values must not be shown: errors end up in logs.
_SECRETS = frozenset({"redis_url", "ledger_key"})


class Address(NamedTuple):
    """A host and a TCP port; port 0 lets the system choose."""

    host: str
    port: int


#: On the loopback address, since the page asks for no password.
DEFAULT_METRICS = Address("127.0.0.1", 9108)


#: On the loopback address: reading needs no token there.
DEFAULT_ADMIN = Address("127.0.0.1", 9109)


#: The models' home, unless GUARDEDIT_MODELS names another folder.
MODELS = "~/.local/share/guardedit/models"


def shipped_policy(name: str) -> Path:
    """A policy that comes with the project: in the working folder, the source tree, or where pip put it."""
    folders = (
        Path("policies"),
        Path(__file__).parents[1] / "policies",
        Path(sys.prefix) / "share" / "guardedit" / "policies",
    )
    return next((path for folder in folders if (path := folder / name).is_file()), folders[0] / name)


def policy_file(name: str) -> Path:
    """A policy by its path, or by the name of one that comes with the project, such as `memory-only`."""
    shipped = shipped_policy(f"{name}.yaml")
    return Path(name) if Path(name).exists() or not shipped.is_file() else shipped


def is_broker(url: str) -> bool:
    """Whether a URL is a valid address of a broker. Does not connect to it.

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


def _path(value: object) -> object:
    if "\0" in str(value):
        raise ValueError
    return Path(value) if isinstance(value, str) else value


def _address(value: object) -> object:
    """`host:port` as an address, `off` as None; other types unchanged."""
    if not isinstance(value, str):
        return value
    if value == "off":
        return None
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # an IPv6 address
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise ValueError
    return Address(host, int(port))


def parse_address(option: str, text: str) -> Address:
    """The address in an option such as `--listen`.

    Raises:
        UsageError: it is not `host:port`.
    """
    try:
        found = _address(text)
    except ValueError:
        found = None
    if not isinstance(found, Address):
        raise UsageError(f"{option} is {text!r:.100}: give host and port, such as 127.0.0.1:8000")
    return found


def _broker(url: str) -> str:
    if url and not is_broker(url):
        raise ValueError
    return url


def _key(value: object) -> object:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


_AnyPath = Annotated[Path, BeforeValidator(_path)]
_PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """The settings of one process. `dataclasses.replace` makes a changed copy.

    Attributes:
        home: folder of the ledger and its blobs. GUARDEDIT_HOME.
        policy: the policy file; default: the shipped `default.yaml`. GUARDEDIT_POLICY, which may be the name
            of a shipped one.
        model: the base model: a name in the models' home, a folder or a `.gguf` file; empty is the embedded
            demo model. GUARDEDIT_MODEL.
        models: the models' home, where `guardedit model add` puts models. GUARDEDIT_MODELS.
        probes: the guard's probe set; None is the `probes.json` beside the model. GUARDEDIT_PROBES.
        encoder: folder or name of the sentence encoder; empty is the packaged MiniLM. GUARDEDIT_ENCODER.
        judge: the judge of scope that `guardedit memory train` wrote; empty is the shipped one, `none` leaves
            the decision to cosines. GUARDEDIT_JUDGE.
        bands: the memory's thresholds as `guardedit memory calibrate` writes them; None is the shipped ones.
            GUARDEDIT_BANDS.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`. GUARDEDIT_DEVICE.
        metrics: where `/metrics` listens, None for nowhere. GUARDEDIT_METRICS, `host:port` or `off`.
        admin: where operators' interface and page listen while a coordinator runs, None for nowhere.
            GUARDEDIT_ADMIN, `host:port` or `off`.
        admin_reading: whether reading needs no token there on a loopback address: `open`, or `tokens` where a
            reverse proxy stands in front of it. GUARDEDIT_ADMIN_READING.
        admin_tls_certificate, admin_tls_key: PEM files for TLS there; None for plain HTTP.
            GUARDEDIT_ADMIN_TLS_CERTIFICATE, GUARDEDIT_ADMIN_TLS_KEY.
        admin_open_to_all: allow an address that other machines reach, without TLS or any token.
            GUARDEDIT_ADMIN_OPEN_TO_ALL.
        redis_url: the broker, empty for none; may hold a password, so it is not in the repr.
            GUARDEDIT_REDIS_URL.
        redis_stream: name of the stream. GUARDEDIT_REDIS_STREAM.
        redis_group: name of the consumer group. GUARDEDIT_REDIS_GROUP.
        ledger_key: signs `ledger.head`, empty for none; a secret, so it is not in the repr.
            GUARDEDIT_LEDGER_KEY.
        runtime: `local` runs everything in this process, `ray` in actors. GUARDEDIT_RUNTIME.
        ray_address: an existing cluster; empty starts one on this machine. GUARDEDIT_RAY_ADDRESS.
        model_workers: how many model workers to start. GUARDEDIT_MODEL_WORKERS.

    Raises:
        UsageError: names every variable whose setting is wrong, its value and the remedy.
    """

    home: _AnyPath = Path(".guardedit")
    policy: _AnyPath = Field(default_factory=lambda: shipped_policy("default.yaml"))
    model: str = ""
    models: _AnyPath = Field(default_factory=lambda: Path(os.path.expanduser(MODELS)))  # noqa: PTH111 - no error
    probes: _AnyPath | None = None
    encoder: str = ""
    judge: str = ""
    bands: _AnyPath | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$")] = "auto"
    metrics: Annotated[Address | None, BeforeValidator(_address)] = DEFAULT_METRICS
    admin: Annotated[Address | None, BeforeValidator(_address)] = DEFAULT_ADMIN
    admin_reading: Literal["open", "tokens"] = "open"
    admin_tls_certificate: _AnyPath | None = None
    admin_tls_key: _AnyPath | None = None
    admin_open_to_all: bool = False
    redis_url: Annotated[str, AfterValidator(_broker)] = Field(default="", repr=False)
    redis_stream: _PlainName = "guardedit:corrections"
    redis_group: _PlainName = "guardedit"
    ledger_key: Annotated[bytes, BeforeValidator(_key)] = Field(default=b"", repr=False)
    runtime: Literal["local", "ray"] = "local"
    ray_address: str = ""
    model_workers: Annotated[int, Field(ge=1, le=9_999)] = 1

    @model_validator(mode="wrap")
    @classmethod
    def _explain_errors(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            # `from None`: the original error shows the values, also the secret ones.
            raise UsageError("\n".join(_problems(error))) from None

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Settings:
        """Read the GUARDEDIT_ variables; one that is unset or blank takes its default.

        Raises:
            UsageError: names every variable that is wrong, its value and the remedy.
        """
        texts = {name.lower(): text for name, text in _Variables(env)().items()}
        user_home = env.get("HOME", "").strip()
        if user_home:
            texts.setdefault("models", MODELS)
        for name in _PATHS & texts.keys():
            # Path.expanduser uses the environment of the process; here only `env` counts.
            path = Path(texts[name])
            if path.parts[:1] == ("~",) and user_home:
                texts[name] = str(Path(user_home, *path.parts[1:]))
        if "policy" in texts:
            texts["policy"] = str(policy_file(texts["policy"]))
        return Settings(**texts)


def _problems(error: ValidationError) -> list[str]:
    """One line for each setting that is wrong."""
    problems: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        name = str(detail["loc"][0])
        variable = f"{_PREFIX}{name.upper()}"
        remedy = _REMEDIES.get(name, "use a text in UTF-8")
        if detail["type"] == "unexpected_keyword_argument":
            known = ", ".join(item.name for item in dataclasses.fields(Settings))
            problems[name] = f"there is no setting {name!r}: known are {known}"
        elif name in _SECRETS:
            kind = "a Redis address" if name == "redis_url" else "a key"
            problems[name] = f"{variable} is not {kind}: {remedy}"
        else:
            problems[name] = f"{variable} is {detail['input']!r}: {remedy}"
    return list(problems.values())


class _Prefixed(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=_PREFIX, case_sensitive=True, protected_namespaces=())


#: The fields of `Settings` as texts, under the names that they have in the environment.
_FIELDS: dict[str, Any] = {item.name.upper(): (str, "") for item in dataclasses.fields(Settings)}
_Texts = create_model("_Texts", __base__=_Prefixed, **_FIELDS)


class _Variables(EnvSettingsSource):
    """Reads the variables of a mapping instead of those of the process. Blank ones count as unset."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        super().__init__(_Texts)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: text.strip() for name, text in self._env.items() if text.strip()}
