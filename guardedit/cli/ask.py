"""`guardedit ask`: answer questions from the serving epoch, in this process."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    AsOf,
    Format,
    Home,
    Model,
    PolicyFile,
    RecordedAt,
    Tenant,
    settings_from,
)
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.serving import Answer
from guardedit.runtime.opening import moment_s
from guardedit.runtime.operator.answers import Past, answer_here


def ask(
    questions: Annotated[
        list[str],
        typer.Argument(
            metavar="QUESTION...", help="A text that ends where the answer begins, as in the example below."
        ),
    ],
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    tenant: Tenant = "default",
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also say which facts were used, with their scores and why. JSON always has this.",
        ),
    ] = False,
    as_of: AsOf = None,
    epoch: RecordedAt = "serving",
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Answer with up to N tokens.  [default: up to the end of a sentence]"
        ),
    ] = None,
) -> None:
    """Answer questions from the serving epoch.

    Prints each answer with its epoch and its placement: memory or weights where facts answered, with their
    ids, else base. The score says how well the question matches the best fact in memory.

    With --as-of, answers come from the facts that held at that time, all of them stated from memory to the
    unedited model; `guardedit facts list --as-of` lists them. With --epoch, from an earlier epoch.

    The model is loaded in this process and the ledger is only read, so a coordinator may run at the same
    time. Before the first epoch the base model answers.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    past = Past(as_of_s=None if as_of is None else moment_s(as_of, "--as-of"), epoch=epoch)
    with progress("loading") as report:
        answers = answer_here(
            settings, rules, questions, tenant=tenant, max_tokens=max_tokens, past=past, tell=report
        )
    rows = [_row(question, answer) for question, answer in zip(questions, answers, strict=True)]
    show.rows(rows, ("question", "answer", "epoch", "placement", "fact", "score"), output, empty="")
    if explain and output is Output.TABLE:
        show.page("")
        show.rows(_reasons(rows), ("asked", "fact", "says", "scope", "score", "why"), output, empty="")


def _row(question: str, answer: Answer) -> dict[str, Any]:
    return {
        "question": question,
        "answer": answer.text,
        "epoch": answer.epoch,
        "placement": answer.placement,
        "fact": ", ".join(answer.facts) or None,
        "scope": answer.scope,
        "score": answer.score,
        "reason": answer.reason,
        "facts": [
            {
                "id": one.fact.id,
                "subject": one.fact.key.subject,
                "relation": one.fact.key.relation,
                "target": one.fact.target,
                "says": one.fact.statement,
                "placement": one.fact.placement.value,
                "scope": one.scope,
                "score": one.score,
                "reason": one.reason,
                "asked": one.clause,
            }
            for one in answer.used
        ],
    }


def _reasons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each fact that was used; for a question without one, why there is none."""
    return [
        {**one, "fact": one.get("id"), "asked": one.get("asked", row["question"]), "why": one["reason"]}
        for row in rows
        for one in (row["facts"] or [{**row, "says": None, "id": None}])
    ]
