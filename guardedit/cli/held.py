"""`guardedit held`: corrections that wait for a person, because the policy holds them."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from guardedit.cli.http.mcp import TOKEN
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, Home, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.correction import Correction, decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.messages import Fate
from guardedit.gateway.admin.rows import content_row
from guardedit.gateway.admin.tokens import Role, Tokens
from guardedit.ledger.approvals import Approvals
from guardedit.ledger.inbox import Entry
from guardedit.runtime.opening import changing, existing
from guardedit.runtime.operator.approving import COMMAND_LINE
from guardedit.runtime.operator.approving import approve as record_approval
from guardedit.settings import Settings

app = commands("Review corrections that wait for a person.")


Corrections = Annotated[
    list[str], typer.Argument(metavar="CORRECTION...", help="The id of a held correction.")
]


@app.command("list", epilog=examples("guardedit held list"))
def list_(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """List the held corrections, oldest first, with the policy's reason and the approvals so far."""
    with existing(settings_from(home)) as ledger:
        entries = ledger.entries(Fate.HELD, limit=-1)
        rows = [_row(entry, ledger.approvals(entry.seq)) for entry in entries]
    columns = (
        "correction",
        "op",
        "subject",
        "prompt",
        "target",
        "more",
        "source",
        "confidence",
        "reason",
        "approved",
        "received",
    )
    show.rows(rows, columns, output, empty="nothing is held")


@app.command(
    "approve",
    epilog=examples("guardedit held approve c-1041", "GUARDEDIT_TOKEN=gde_... guardedit held approve c-1041"),
)
def approve(corrections: Corrections, *, home: Home = None, output: Format = Output.TABLE) -> None:
    """Approve held corrections.

    With the last approval that its rule needs, the coordinator decides about a correction again and does not
    hold it a second time.

    The approval is that of the token in $GUARDEDIT_TOKEN, made by `guardedit tokens add`. Without one it is
    that of the person at the command line, which counts once, under the name `command-line`.
    """
    settings = settings_from(home)
    name = _name(settings)
    with changing(settings) as ledger:
        for correction in corrections:
            found = record_approval(ledger, correction, by=name)
            ledger.audit(name, "approve", correction)
            fields = {"correction": correction, "approved": not found.missing, **_fields(found)}
            done = "released, waits for the coordinator"
            left = f"{found.missing} more to come{_until(found)}"
            show.line(fields, output, f"{correction}: {found}; {left if found.missing else done}")


@app.command("reject", epilog=examples("guardedit held reject c-1041 --reason 'not true'"))
def reject(
    corrections: Corrections,
    *,
    home: Home = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "a person rejected it",
    output: Format = Output.TABLE,
) -> None:
    """Reject held corrections for good, whatever approvals they have.

    Nothing changes but their fate. The record stays in the ledger.
    """
    settings = settings_from(home)
    name = _name(settings)
    with changing(settings) as ledger:
        for correction in corrections:
            ledger.reject(correction, reason=reason)
            ledger.audit(name, "reject", correction)
            show.line({"correction": correction, "rejected": True}, output, f"{correction}: rejected")


def _name(settings: Settings) -> str:
    """The name under which this person approves.

    Raises:
        UsageError: the token in the environment is unknown, or no approver's.
    """
    secret = os.environ.get(TOKEN, "").strip()
    if not secret:
        return COMMAND_LINE
    token = Tokens(settings.home).find(secret)
    if token is None:
        raise UsageError(
            f"the token in {TOKEN} is unknown or revoked: `guardedit tokens list` shows the names"
        )
    if not token.role.may(Role.APPROVER):
        raise UsageError(f"the token {token.name!r} is for a {token.role}: approving needs an approver")
    return token.name


def _fields(found: Approvals) -> dict[str, Any]:
    return {
        "approvals_needed": found.needed,
        "approvers": list(found.approvers),
        "approved_by": list(found.by),
        "approvals_expire": show.moment(found.expires_at_s),
        "content_sha256": found.content_sha256,
    }


def _until(found: Approvals) -> str:
    return f", before {show.moment(found.expires_at_s)}" if found.expires_at_s is not None else ""


def _row(entry: Entry, found: Approvals) -> dict[str, Any]:
    """A held correction as a row. If this version cannot read it, the row has the error."""
    row = {"correction": entry.correction_id, "reason": entry.reason}
    row |= {"received": show.moment(entry.received_at_s), "position": entry.position}
    expires = f", expires {show.moment(found.expires_at_s)}" if found.expires_at_s is not None else ""
    row |= {"approved": f"{found}{expires}", **_fields(found)}
    try:
        correction = decode_correction(entry.raw, recorded=True)
    except CorrectionError as error:
        return {**row, "subject": None, "target": f"cannot be read: {error}"}
    return {
        **row,
        "subject": correction.subject,
        "prompt": correction.prompt,
        "target": correction.target_new,
        "source": correction.provenance.source,
        "confidence": correction.provenance.confidence,
        **content_row(correction),
        "more": _more(correction),
    }


def _more(correction: Correction) -> str:
    """What else an approval is for, where it is not the default.

    >>> one = Correction(id="a", subject="Ada", prompt="{} is in", target_new="Rome", aliases=("Dee", "D."))
    >>> _more(one)
    'also called Dee | D.'
    """
    said = {
        "tenant": "" if correction.tenant == "default" else correction.tenant,
        "relation": correction.relation,
        "also called": " | ".join(correction.aliases),
        "also asked as": " | ".join(correction.paraphrases),
        "valid from": show.moment(correction.valid_from_s),
        "valid until": show.moment(correction.valid_until_s),
        "tags": ", ".join(correction.tags),
    }
    return "; ".join(f"{name} {value}" for name, value in said.items() if value)
