"""`guardedit bench serve`: tokens a second, latency, and answers while epochs change."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import LINE_S, Seed, Threads
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Code
from guardedit.cli.terminal.options import Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError


def serve(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    clients: Annotated[
        str, typer.Option(metavar="N,...", help="Numbers of clients that ask at the same time.")
    ] = "1,8,16,32",
    requests: Annotated[int, typer.Option(min=1, help="Questions of each client.")] = 4,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of each answer.")] = 32,
    rounds: Annotated[
        int, typer.Option(min=1, help="Times that `generate` and the served model are measured, in turns.")
    ] = 1,
    replicas: Annotated[
        int, typer.Option(min=1, max=64, help="Replicas that answer; more than one run in Ray actors.")
    ] = 1,
    storm: Annotated[
        int,
        typer.Option(
            min=0, help="Short answers while epochs change without pause; embedded model only. 0: none."
        ),
    ] = 0,
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure a served model over HTTP, beside transformers' `generate`.

    `one_by_one` and `together` are tokens a second of `generate` on the same model, for one prompt after the
    other, and for as many prompts in one batch as there are clients; `of_together` is the share of the latter
    that is reached. Numbers are medians over the rounds. The clients run in a process of their own.

    With --storm, epochs with other answers are published without pause, and an answer is mixed if it names
    one epoch and says what another one says, stale if its epoch had been replaced before it was asked. Exit
    code 1 if there is any, or an error.
    """
    import torch

    from guardedit.lab.answering.speed import measure_speed
    from guardedit.lab.answering.storm import measure_storm
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    numbers = _numbers(clients)
    if storm and settings.model:
        raise UsageError("--storm makes epochs about the embedded model's world: leave out --model")
    if threads:
        torch.set_num_threads(threads)
    with progress("loading the model", every_s=LINE_S) as report:
        speed = measure_speed(
            settings,
            rules,
            clients=numbers,
            requests=requests,
            tokens=tokens,
            rounds=rounds,
            replicas=replicas,
            tell=report,
        )
        found = (
            measure_storm(settings, rules, answers=storm, clients=max(numbers), seed=seed, tell=report)
            if storm
            else None
        )
    if output is Output.JSON:
        body: dict[str, Any] = {"speed": [asdict(one) for one in speed]}
        show.record(body | ({"storm": asdict(found)} if found else {}), output)
    else:
        rows = [{name: _shown(value) for name, value in asdict(one).items()} for one in speed]
        show.rows(rows, list(rows[0]), output, empty="")
        if found:
            storms = [{name: _shown(value) for name, value in asdict(found).items()}]
            show.rows(storms, list(storms[0]), output, empty="")
    if any(one.errors for one in speed) or (found and (found.mixed or found.stale or found.errors)):
        raise typer.Exit(Code.FAILED)


def _numbers(text: str) -> list[int]:
    """The numbers of clients.

    Raises:
        UsageError: it is not a list of numbers above 0.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 5 and 0 < int(part) <= 1000 for part in parts):
        raise UsageError(f"--clients is {text!r:.100}: give numbers from 1 to 1000, such as 1,8,16")
    return [int(part) for part in parts]


def _shown(value: Any) -> Any:
    """Three digits that count; `-` for what was not measured."""
    if not isinstance(value, float):
        return value
    return "-" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
