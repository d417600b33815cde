"""`guardedit keys`: make keys that sign corrections, and check signatures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.files import opened
from guardedit.cli.terminal.options import Format, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError
from guardedit.core.messages import Delivery
from guardedit.signing.keys import new_key, require_signing, write_key
from guardedit.sources.jsonl import read_lines

if TYPE_CHECKING:
    from guardedit.policy.schema import Policy

app = commands("Make keys that sign corrections, and check signatures.")


@app.command("new", epilog=examples("guardedit keys new registry-1 --source registry"))
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key: a-z, 0-9, dots and dashes.")],
    *,
    source: Annotated[
        str, typer.Option(metavar="SOURCE", help="The source that it signs for.", show_default=False)
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Where the private key goes. Default: NAME.key.",
            show_default=False,
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Make a key pair.

    The private key goes into a file that only you can read; keep it where the corrections are made. The
    public key is printed as lines for the policy. From then on, only signed corrections are accepted under
    the name of the source.
    """
    key = new_key(name, source)
    path = file or Path(f"{name}.key")
    write_key(key, path)
    if output is Output.JSON:
        fields = {"key": key.name, "source": key.source, "file": str(path), "ed25519": key.public}
        show.line(fields, output, "")
        return
    for line in (
        f"the private key is in {path}; for the policy:",
        "",
        "sources:",
        f"  - name: {_quoted(key.source)}",
        f"    keys: [{{id: {_quoted(key.name)}, ed25519: {_quoted(key.public)}}}]",
    ):
        show.line({}, output, line)


@app.command("check", epilog=examples("guardedit keys check corrections.jsonl --policy policy.yaml"))
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines; - is standard input.")],
    *,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Check the signatures of corrections, as if they were received now.

    Nothing is recorded. A source without keys in the policy needs no signature. Exit code 1 when a correction
    would be refused.
    """
    from guardedit.policy.load import load_policy

    rules = load_policy(settings_from(policy=policy).policy)
    require_signing()
    with opened(str(file)) as stream:
        rows = [
            _checked(rules, one, now_s=time.time())
            for one in read_lines(stream, name=str(file), submission="")
        ]
    show.rows(
        rows, ("line", "correction", "source", "key", "problem"), output, empty="there is no correction"
    )
    if any(row["problem"] for row in rows):
        raise typer.Exit(Code.FAILED)


def _checked(policy: Policy, delivery: Delivery, *, now_s: float) -> dict[str, Any]:
    from guardedit.policy.sources import signer

    row: dict[str, Any] = {"line": delivery.position.partition("#")[0], "correction": None, "source": None}
    try:
        correction = decode_correction(delivery.raw)
        row |= {"correction": correction.id, "source": correction.provenance.source}
        key = signer(policy.sources, delivery.raw, correction, received_at_s=now_s)
    except CorrectionError as error:
        return {**row, "key": None, "problem": str(error)}
    return {**row, "key": key or None, "problem": None}


def _quoted(text: str) -> str:
    """A text in YAML's double quotes, which are JSON's."""
    return json.dumps(text, ensure_ascii=False)
