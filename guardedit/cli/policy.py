"""`guardedit policy`: is a policy well formed, and what does it say about a correction?"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.cli.terminal.streams import standard_input
from guardedit.core.correction import Correction, decode_correction
from guardedit.core.decision import Route
from guardedit.core.errors import CorrectionError, PolicyError, UsageError
from guardedit.core.receipt import Fate
from guardedit.core.wire import split_messages
from guardedit.runtime.opening import existing, exists
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.policy.decide import DecisionContext
    from guardedit.policy.schema import Policy

app = commands("The policy: validate it, explain a decision.")


@app.command(
    "validate",
    epilog=examples("guardedit policy validate", "guardedit policy validate policies/*.yaml --output json"),
)
def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Default: the policy in force.")
    ] = None,
    *,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Read policies strictly and list every problem as file:line:col. Exit code 2 when there is one."""
    from guardedit.policy.load import load_policy

    wrong = False
    for path in files or [settings_from(policy=policy).policy]:
        told: dict[str, Any] = {"file": str(path), "valid": True, "problems": []}
        try:
            found = load_policy(path)
            told |= {"rules": len(found.rules), "mode": found.mode, "sha256": found.sha256}
            text = f"{path}: valid, {len(found.rules)} rules, mode {found.mode}, sha256 {found.sha256[:12]}"
            show.line(told, output, text)
        except PolicyError as error:
            wrong = True
            if output is Output.JSON:
                show.line({**told, "valid": False, "problems": str(error).splitlines()}, output, "")
            else:
                show.complain(str(error))
    if wrong:
        raise typer.Exit(Code.USAGE)


@app.command(
    "explain",
    epilog=examples(
        "guardedit policy explain c-1041",
        "guardedit policy explain --file correction.json",
        "head -1 stream.jsonl | guardedit policy explain - --policy policies/conservative.yaml",
    ),
)
def explain(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[CORRECTION|-]", help="Id of a recorded correction; - is one on standard input."
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Corrections of a file; - is standard input.", show_default=False),
    ] = None,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Say which rule decides about a correction, and why each rule before it did not.

    For the id of a recorded correction it is the decision of that time, under the policy of that time; an id
    is looked up in the ledger and nowhere else. For a file the policy is asked now; nothing is recorded. Exit
    code 3 when the correction is held.
    """
    settings = settings_from(home, policy, model)
    if (what is None) == (file is None):
        raise UsageError("give either the id of a recorded correction or --file FILE; - is standard input")
    if what is None or what == "-":
        told = _asked_now(settings, _bytes(file or Path("-")))
    else:
        told = [_recorded(settings, what)]
    for item in told:
        show.record(item, output)
    if any(item["route"] == Route.HOLD for item in told):
        raise typer.Exit(Code.HELD)


def _asked_now(settings: Settings, raw: bytes) -> list[dict[str, Any]]:
    from guardedit.policy.decide import decide
    from guardedit.policy.load import load_policy

    policy = load_policy(settings.policy)
    told = []
    for number, message in enumerate(_messages(raw), start=1):
        try:
            correction = decode_correction(message)
        except CorrectionError as error:
            raise type(error)(f"message {number}: {error.reason}: {error}") from error
        decision = decide(policy, correction, _context(settings, policy, correction))
        told.append({"correction": correction.id, "subject": correction.subject, **_plain(asdict(decision))})
    if not told:
        raise UsageError("there is no correction to explain: give one JSON object")
    return told


def _recorded(settings: Settings, correction_id: str) -> dict[str, Any]:
    if not exists(settings):
        raise UsageError(
            f"{settings.home} holds no ledger where {correction_id!r} could be recorded: give --home, "
            "or explain a file with --file FILE"
        )
    with existing(settings) as ledger:
        receipt, decision = ledger.receipt(correction_id), ledger.decision(correction_id)
    if receipt is None:
        raise UsageError(
            f"no decided correction in {settings.home} has the id {correction_id!r}; "
            "to explain a file, write --file FILE"
        )
    told = {"correction": correction_id, "fate": receipt.fate.value, "epoch": receipt.epoch}
    if decision is None:
        return {**told, "route": None, "reason": receipt.reason}
    held = receipt.fate is Fate.HELD
    # Released and decided again, it may have gone elsewhere than where it was held.
    return {**told, **_plain(decision), "route": Route.HOLD.value if held else decision["route"]}


def _plain(decision: dict[str, Any]) -> dict[str, Any]:
    names = ("route", "rule", "reason", "method", "policy_sha256")
    return {**{name: decision[name] for name in names}, "trace": list(decision["trace"])}


def _messages(raw: bytes) -> list[bytes]:
    """One JSON object or an array of them, on however many lines, or one a line."""
    try:
        # Numbers stay texts: Python refuses to read the longest ones, and decoding will say so.
        whole = isinstance(json.loads(raw, parse_int=str), dict | list)
    except (ValueError, RecursionError):
        whole = False
    parts = [raw] if whole else [line for line in raw.split(b"\n") if line.strip()]
    return [message for part in parts for message in split_messages(part)]


def _bytes(path: Path) -> bytes:
    try:
        return standard_input().read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give a readable file") from error


def _context(settings: Settings, policy: Policy, correction: Correction) -> DecisionContext:
    from guardedit.policy.decide import DecisionContext
    from guardedit.policy.reach import charged

    now_s, edits, known = time.time(), 0, False
    if exists(settings):
        with existing(settings) as ledger:
            edits = ledger.reaching(charged(correction), since_s=now_s - 86_400)
    if any(rule.when and "known_subject" in rule.when.text for rule in policy.rules):
        # The only rule variable that needs the probe set, and with it the slow imports.
        from guardedit import assembly

        probes = assembly.load_probes(settings)
        known = bool(assembly.known_questions(probes, correction.subject))
    return DecisionContext(now_s=now_s, subject_edits_24h=edits, known_subject=known)
