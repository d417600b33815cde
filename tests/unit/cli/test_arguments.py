"""Every argument of every command, found by looking at the app, meets a table of bad values.

A new command or option is covered by itself. Nothing may end in a traceback: not even in the line that stands
for an error nobody foresaw.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from guardedit.cli.main import app

ROOT = Path(__file__).parents[3]
DIGITS = "9" * 5_000
#: What the options of one command may take together, in seconds; a command that begins to work takes longer.
PATIENCE_S = 20.0

BAD = {
    "nothing": "",
    "a space": " ",
    "a sign": "-",
    "a negative number": "-1",
    "a huge number": "99999999999999999999",
    "a huge negative number": "-99999999999999999999",
    "a number of 5,000 digits": DIGITS,
    "numbers with a comma": f"1,{DIGITS}",
    "huge numbers with a comma": "1,99999999999999999999",
    "no number": "nan",
    "infinity": "1e999",
    "a large float": "1e300",
    "another digit": "٣",
    "bytes that are no text": "Troms\udcf8",
    "a NUL": "a\0b",
    "a control character": "\x1b[2J\r\n",
    "a bidi override": "a\u202eb",
    "an emoji": "👩🏽‍🚀",  # noqa: RUF001
    "100 kB": "x" * 100_000,
    "100 kB of escapes": "\x1b" * 100_000,
    "longer than a path may be": "/" + "a/" * 3_000,
    "a folder": "{tmp}",
    "a file of garbage": "{tmp}/garbage",
    "a file of NULs": "{tmp}/zeros",
    "an empty file": "{tmp}/empty",
    "deep JSON": "{tmp}/deep",
    "JSON with a huge number": "{tmp}/huge",
    "an unreadable file": "{tmp}/unreadable",
    "a link to itself": "{tmp}/loop",
    "a file in no folder": "{tmp}/no/file",
    "a file as a folder": "{tmp}/garbage/file",
    "a device": "/dev/null",
}


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or typer.main.get_command(app)
    for name, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from commands(inner, (*path, name))
        else:
            yield (*path, name), inner


COMMANDS = dict(commands())
#: What keeps a command from working for minutes where a missing model does not.
STOPS = {("demo",): ["--policy=none.yaml", "--runtime=local"]}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 50)
    (tmp_path / "zeros").write_bytes(bytes(5_000))
    (tmp_path / "empty").touch()
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "huge").write_text(f'{{"subject": {DIGITS}, "prompt": {DIGITS}, "layers": {DIGITS}}}\n')
    (tmp_path / "unreadable").touch(mode=0)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "model").mkdir()
    return tmp_path


@pytest.fixture
def surroundings(folder, home, ledger_file, monkeypatch) -> None:
    """A ledger with a little of everything, and no model: what would work for minutes stops there."""
    monkeypatch.chdir(folder)
    settings = {
        "HOME": home,
        "MODEL": folder / "model",
        "POLICY": ROOT / "policies" / "default.yaml",
        "METRICS": "off",
        "RUNTIME": "local",
        "TRACEBACK": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"GUARDEDIT_{name}", str(value))


def spoken(param: Any, value: str) -> list[str]:
    """The parameter with a value, as one writes it."""
    if param.param_type_name == "argument":
        return ["--", value]
    return [f"{param.opts[0]}={value}"]


def call(arguments: list[str]) -> Any:
    return CliRunner().invoke(app, arguments, prog_name="guardedit", input=b"\xff\0{]\n" + b"9" * 5_000 + b"\n")


def wrong_with(said: Any) -> str:
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        return f"{type(said.exception).__name__}: {said.exception}"
    if said.exit_code not in {0, 1, 2, 3, 4}:
        return f"exit code {said.exit_code}"
    if said.exit_code in {2, 4} and not said.stderr.startswith("error: "):
        return f"no error line: {said.stderr!r:.200}"
    if "Traceback" in said.stderr or "unforeseen" in said.stderr:
        return f"a traceback: {said.stderr!r:.200}"
    if not said.stderr.isprintable() and not all(line.isprintable() for line in said.stderr.splitlines()):
        return f"what moves a cursor: {said.stderr!r:.200}"
    return ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_bad_value_of_any_argument_ends_in_a_traceback(path, folder, surroundings):
    command = COMMANDS[path]
    flags = [param for param in command.params if getattr(param, "is_flag", False)]
    wrong, started = {}, time.monotonic()
    for param in command.params:
        if param in flags:
            continue
        needed = [p for p in command.params if p.required and p is not param]
        rest = [word for p in needed for word in (["1"] if p.param_type_name == "argument" else spoken(p, "1"))]
        for name, value in BAD.items():
            bad = spoken(param, value.replace("{tmp}", str(folder)))
            stops = [word for word in STOPS.get(path, ()) if not word.startswith(param.opts[0])]
            # Options first: behind `--` all are arguments.
            words = [*bad, "--", *rest] if param.param_type_name != "argument" else [*bad, *rest]
            if said := wrong_with(call([*path, *stops, *words])):
                wrong[f"{param.name}: {name}"] = said
    assert wrong == {}
    assert time.monotonic() - started < PATIENCE_S, "something begins to work before it looks at its arguments"


def test_every_command_has_been_found():
    assert len(COMMANDS) > 25
    assert {path[0] for path in COMMANDS} == set(typer.main.get_command(app).commands)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file, so nothing is unreadable to it")
def test_a_file_that_may_not_be_read_is_named(folder, surroundings):
    said = call(["submit", str(folder / "unreadable")])

    assert said.exit_code == 1
    assert "Permission denied" in said.stderr
