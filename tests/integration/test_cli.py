"""The commands as a stranger meets them: their help, and one story from the first question to a rollback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from guardedit.cli.main import app

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "guardedit" / "zoo" / "model"
needs_model = pytest.mark.skipif(not (MODEL / "config.json").is_file(), reason="the demo model is not here")


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from _paths(inner, (*path, name))
        else:
            yield (*path, name)


COMMANDS = sorted(_paths(typer.main.get_command(app)))


def test_all_the_commands_are_there():
    assert {path[0] for path in COMMANDS} >= {
        *("run", "submit", "status", "ask", "facts", "epochs", "held", "dlq", "policy", "verify", "metrics")
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_with_an_example_of_itself(path):
    result = CliRunner().invoke(app, [*path, "--help"], prog_name="guardedit")

    assert result.exit_code == 0
    examples = result.stdout.partition("Example")[2].splitlines()[1:]
    assert any(f"guardedit {' '.join(path)}" in line for line in examples), result.stdout


#: Commands whose output has a format of its own: Prometheus', and that of the Model Context Protocol.
OTHER_FORMATS = {("metrics",), ("mcp",)}


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in OTHER_FORMATS], ids=" ".join)
def test_every_other_command_speaks_json(path):
    assert "--output" in CliRunner().invoke(app, [*path, "--help"]).stdout


@pytest.mark.parametrize("name", sorted({path[0] for path in COMMANDS}))
def test_every_command_is_named_in_the_readme(name):
    assert re.search(rf"\bguardedit {name}\b", (ROOT / "README.md").read_text("utf-8"))


def test_the_package_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "guardedit", "--version"], capture_output=True, text=True, check=True
    )

    assert re.fullmatch(r"\d+\.\d+\.\d+\n", result.stdout)


@pytest.fixture
def environment(tmp_path, warm_home) -> dict[str, str]:
    """Settings as variables; the second moments are there already."""
    shutil.copytree(warm_home / "moments", tmp_path / "home" / "moments")
    return {
        "GUARDEDIT_HOME": str(tmp_path / "home"),
        "GUARDEDIT_POLICY": str(ROOT / "policies" / "default.yaml"),
        "GUARDEDIT_METRICS": "off",
    }


@pytest.fixture
def guardedit(environment, monkeypatch) -> Callable[..., Any]:
    """Runs a command in this process and reads its JSON; the exit code must be `code`."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, [*map(str, arguments), "--output", "json"], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr
        try:
            return json.loads(result.stdout)
        except ValueError:
            return [json.loads(line) for line in result.stdout.splitlines()]

    return run


@needs_model
@pytest.mark.slow
def test_a_story_from_the_first_question_to_a_rollback(guardedit, changes):
    made = changes(6, seed=30)
    doubtful = json.loads(made[5].raw) | {"id": "doubtful", "provenance": {"confidence": 0.1}}
    stream = b"\n".join([*(c.raw for c in made[:5]), b"{broken", json.dumps(doubtful).encode()])
    questions = [change.prompt for change in made]
    before = guardedit("ask", *questions)
    assert {answer["epoch"] for answer in before} == {0}
    assert {answer["placement"] for answer in before} == {"base"}

    assert guardedit("submit", "-", stdin=stream)["new"] == 7
    steps = guardedit("run", "--once")
    assert [steps[0]["event"], steps[-1]["event"]] == ["ready", "stopped"]
    assert sum(step.get("settled", 0) for step in steps) == 7

    after = guardedit("ask", *questions)
    assert [answer["answer"] for answer in after[:5]] == [change.target for change in made[:5]]
    assert after[5]["answer"] == before[5]["answer"]  # held
    state = guardedit("status")
    assert (state["held"], state["dead_letters"], state["waiting"]) == (1, 1, 0)
    assert state["facts"]["weights"] >= 1
    assert {answer["epoch"] for answer in after} == {state["epoch"]}

    assert guardedit("policy", "explain", "doubtful", code=3)["rule"] == "very-low-confidence"
    guardedit("held", "approve", "doubtful")
    guardedit("run", "--once")
    assert guardedit("ask", questions[5])[0]["answer"] == made[5].target

    fact = next(f for f in guardedit("facts", "list") if f["placement"] == "weights")
    asked = guardedit("epochs", "show", "serving")
    undone = guardedit("facts", "undo", fact["id"])
    assert undone["kind"] in {"undo", "retreat"}
    assert fact["id"] not in {f["id"] for f in guardedit("facts", "list")}
    redone = guardedit("facts", "redo", fact["id"])
    if (undone["kind"], redone["kind"]) == ("undo", "redo"):
        assert redone["state_sha256"] == asked["state_sha256"]
        assert redone["weights_sha256"] == asked["weights_sha256"]

    back = guardedit("epochs", "rollback", "0", "--facts")
    assert (back["kind"], back["edits"]) == ("rollback", 0)
    assert [a["answer"] for a in guardedit("ask", *questions)] == [a["answer"] for a in before]
    assert len(guardedit("facts", "history", fact["id"])) >= 4
    checked = ["ledger", "base", "weights", "memory"]
    assert guardedit("verify") == {"sound": True, "checked": checked, "problems": []}


class Running:
    """`guardedit run` in a process of its own, read line by line."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guardedit", "run", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.strip())
                self._news.notify_all()

    def wait_for(self, word: str, timeout_s: float = 300.0) -> None:
        with self._news:
            found = self._news.wait_for(lambda: any(word in line for line in self.lines), timeout_s)
        assert found, (self.lines, self.process.poll())

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        code = self.process.wait(timeout=120)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@needs_model
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_coordinator_takes_what_is_submitted_and_ends_calmly(
    guardedit, environment, changes, number
):
    running = Running(environment)
    try:
        running.wait_for("ready")
        made = changes(2, seed=31)
        guardedit("submit", "-", stdin=b"\n".join(c.raw for c in made))
        running.wait_for("2 settled")
        guardedit("run", "--once", code=4)  # a second coordinator
        (_, fact) = guardedit("facts", "list")
        assert guardedit("facts", "undo", fact["id"])["kind"] == "undo"  # by the running coordinator
        code, errors = running.end(number)
    finally:
        running.process.kill()

    # On a busy machine the model may take a minute to load, and a stage more than ten seconds: lines say so.
    said = r"(loading the model \(\d+ min\)|(proposing|trying|committing|watching)[^\n]*, for \d+ s)\n"
    assert (code, re.sub(said, "", errors)) == (0, "")
    assert running.lines[-1].startswith("stopped: epoch ")
    assert guardedit("status")["waiting"] == 0


@needs_model
@pytest.mark.slow
@pytest.mark.ray
def test_undo_is_handed_over_to_a_coordinator_on_ray(guardedit, environment, changes):
    running = Running(environment, "--runtime", "ray")
    try:
        running.wait_for("ready")
        made = changes(1, seed=32)
        guardedit("submit", "-", stdin=made[0].raw)
        running.wait_for("1 settled")
        door = Path(environment["GUARDEDIT_HOME"]) / "ray.json"
        assert door.stat().st_mode & 0o777 == 0o600
        (fact,) = guardedit("facts", "list")
        # In a process of its own: this one may already have imported Ray without a token.
        result = subprocess.run(
            [sys.executable, "-m", "guardedit", "facts", "undo", fact["id"], "-o", "json"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert (result.returncode, json.loads(result.stdout)["kind"]) == (0, "undo"), result.stderr
        assert guardedit("facts", "list") == []
        code, _ = running.end(signal.SIGTERM)
    finally:
        running.process.kill()

    assert code == 0
    assert not door.exists()
