"""`guardedit policy`: check a policy file, explain what it decides, and put a changed one in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.files import STDIN, read_whole
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, commands, examples, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.decision import Route
from guardedit.core.errors import PolicyError, UsageError
from guardedit.runtime.coordinator_access import reload_running
from guardedit.runtime.operator.decisions import decide_now, recorded_decision

app = commands("Check a policy file, and explain its decisions.")


@app.command(
    "validate",
    epilog=examples("guardedit policy validate", "guardedit policy validate policies/*.yaml --output json"),
)
def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Default: the policy in use.")
    ] = None,
    *,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Check policy files.

    Every problem is printed as file:line:column. Exit code 2 when there is one.
    """
    valid = [_validate(path, output) for path in files or [settings_from(policy=policy).policy]]
    if not all(valid):
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
    correction: Annotated[
        str | None,
        typer.Argument(
            metavar="[CORRECTION|-]",
            help="Id of a correction in the ledger; - reads a correction from standard input.",
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="File with corrections; - reads them from standard input.", show_default=False
        ),
    ] = None,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Explain which rule decides about a correction.

    Also says why each rule before it did not match.

    With the id of a correction in the ledger, prints the decision that was made then, under the policy of
    that time. With a file, asks the policy in use now and records nothing.

    Exit code 3 when the correction is held.
    """
    settings = settings_from(home, policy, model)
    if (correction is None) == (file is None):
        raise UsageError("give either the id of a recorded correction or --file FILE; - is standard input")
    if correction is None or correction == STDIN:
        decisions = decide_now(settings, read_whole(file or Path(STDIN)))
    else:
        decisions = [recorded_decision(settings, correction)]
    for decision in decisions:
        show.record(decision, output)
    if any(decision["route"] == Route.HOLD for decision in decisions):
        raise typer.Exit(Code.HELD)


@app.command("reload", epilog=examples("guardedit policy reload"))
def reload(*, home: Home = None, output: Format = Output.TABLE) -> None:
    """Make the running coordinator read its policy file again.

    Rules, sources and their keys, limits, drift, quotas and subjects are taken over. A change of `mode`,
    `editing`, `memory`, or of whether a rule routes to the weights, needs a restart. A file with problems
    changes nothing. A trial that is running ends under the limits that it began with.
    """
    show.record(reload_running(settings_from(home)), output)


def _validate(path: Path, output: Output) -> bool:
    from guardedit.policy.load import load_policy

    fields: dict[str, Any] = {"file": str(path), "valid": True, "problems": []}
    try:
        found = load_policy(path)
    except PolicyError as error:
        if output is Output.JSON:
            show.line({**fields, "valid": False, "problems": str(error).splitlines()}, output, "")
        else:
            show.error(str(error))
        return False
    fields |= {"rules": len(found.rules), "mode": found.mode, "sha256": found.sha256}
    text = f"{path}: valid, {len(found.rules)} rules, mode {found.mode}, sha256 {found.sha256[:12]}"
    show.line(fields, output, text)
    return True
