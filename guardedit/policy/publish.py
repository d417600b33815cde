"""The destinations of a policy's `publish` section: where `guardedit publish run` brings each epoch."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from guardedit.policy.strict import Positive, StrictModel, as_tuple


def _plain_address(value: str) -> str:
    """The address, unless there may be a password in it. The message does not repeat it."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s@?#\x00-\x1f\x7f]+", value):
        raise PydanticCustomError(
            "address",
            "not a plain address such as http://10.0.0.1:8000 or s3://bucket/prefix; names and passwords "
            "of users do not belong in it",
        )
    return value


def _absolute(value: str) -> str:
    """The path, unless it depends on where or by whom a program is started."""
    if not value.startswith("/"):
        raise PydanticCustomError("relative", "not an absolute path: start it with /")
    return value


def plain_url(value: str) -> str:
    """The address as it is compared with others: without /v1 and slashes at the end, in lower case."""
    scheme, _, rest = value.rstrip("/").removesuffix("/v1").rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.lower() if scheme in ('http', 'https') else host}{slash}{path}"


#: Without a user name or password, which would end up in messages.
PlainAddress = Annotated[str, Field(max_length=500), AfterValidator(_plain_address)]
ServerAddress = Annotated[PlainAddress, Field(pattern=r"^https?://")]
#: Model ids are part of JSON and of log lines, so control characters are refused.
ModelId = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]
FolderName = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1_000), AfterValidator(_absolute)
]


class _Destination(StrictModel):
    """What all kinds of destinations have."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")] = Field(
        description="Name of the destination in the ledger, in messages and in metrics. With another name it "
        "is another destination."
    )
    drain_s: float = Field(
        60.0,
        ge=0.0,
        description="How long an earlier epoch stays after the destination switched to another, in seconds. "
        "Larger: slow answers and slow readers end in peace, and more stays loaded.",
    )
    keep: int = Field(
        1,
        ge=0,
        le=100,
        description="How many earlier ones stay for a rollback, besides the active one. Larger: rollbacks "
        "further back need no new transfer.",
    )


class DirectoryDestination(_Destination):
    """A folder with one folder for each epoch, and a link `current` to the active one."""

    kind: Literal["directory"] = Field(description="A local or mounted file system with symbolic links.")
    path: FolderName = Field(description="The folder; made when missing.")

    @property
    def place(self) -> str:
        """Where the epochs lie; two destinations may not share it."""
        return posixpath.normpath(self.path)


class ObjectsDestination(_Destination):
    """A prefix of an object store, with an object `current.json` that names the active epoch.

    Keys and endpoints come from the environment, as the store's own tools read them.
    """

    kind: Literal["objects"] = Field(description="An object store that fsspec knows.")
    url: PlainAddress = Field(description="The prefix, such as `s3://bucket/guardedit`.")

    @property
    def place(self) -> str:
        """Where the epochs lie; two destinations may not share it."""
        scheme, _, path = self.url.partition("://")
        return posixpath.normpath(path) if scheme in ("file", "local") else self.url.rstrip("/")


class FleetDestination(_Destination):
    """Servers of vLLM that load the edits as a LoRA adapter, by a path that all of them can read."""

    kind: Literal["vllm"] = Field(description="One or more servers of vLLM with `--enable-lora`.")
    replicas: Annotated[
        tuple[ServerAddress, ...], Field(min_length=1, max_length=1_000), BeforeValidator(as_tuple)
    ] = Field(description="Address of every server, without /v1; not that of a load balancer.")
    model: ModelId = Field(description="Id under which the servers serve the base model.")
    alias: ModelId = Field(
        description="Model id that `guardedit proxy` replaces by the active adapter, or by the base model "
        "while no edit is in the weights."
    )
    path: FolderName = Field(description="Folder for the adapters, as the publisher sees it.")
    server_path: FolderName | None = Field(
        None, description="The same folder as the servers see it. null: as in `path`."
    )
    require: Literal["all", "quorum"] = Field(
        "all",
        description="How many replicas must have an epoch before the alias switches to it: `all`, or more "
        "than half with `quorum`. With `quorum` the load balancer must keep requests from the others.",
    )
    load_timeout_s: Positive = Field(
        120.0, description="Longest wait for a server to load an adapter, in seconds."
    )
    probe: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        "The capital of Norway is",
        description="Prompt that every replica must answer with one token before it counts as ready.",
    )

    @property
    def place(self) -> str:
        """Where the adapters lie; two destinations may not share it."""
        return posixpath.normpath(self.path)


#: Any kind of destination; `kind` says which.
Destination = Annotated[
    DirectoryDestination | ObjectsDestination | FleetDestination, Field(discriminator="kind")
]
