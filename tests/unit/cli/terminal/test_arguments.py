"""Every argument of every command, found by looking at the app, meets a table of bad values.

A new command or option is covered by itself. Nothing may end in a traceback: not even in the line that stands
for an unexpected error.
"""

from __future__ import annotations

import inspect
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from guardedit import settings
from guardedit.cli.main import app

#: Short: reading the shipped one takes longer than everything else here.
POLICY = "apiVersion: guardedit/v1\nrules:\n  - {id: all, route: memory, why: enough}\n"
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
    "an emoji": "👩🏽‍🚀",
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


#: Built once: that takes ten times longer than most calls.
GROUP = typer.main.get_command(app)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from commands(inner, (*path, name))
        else:
            yield (*path, name), inner


COMMANDS = dict(commands(GROUP))
VARIABLES = sorted(set(re.findall(r"GUARDEDIT_[A-Z_]+", inspect.getsource(settings))))
#: What keeps a command from working for minutes where a missing model does not.
STOPS = {
    ("demo",): ["--policy=none.yaml", "--runtime=local"],
    ("bench", "proxy"): ["--policy=none.yaml"],  # needs no model
    ("bench", "memory"): ["--facts=1"],  # as above
    ("bench", "scope"): ["--policy=none.yaml"],
    ("memory", "train"): ["--relations=none"],
}


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
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def surroundings(folder, home, ledger_file, monkeypatch) -> None:
    """A ledger with a little of everything, and no model: what would work for minutes stops there."""
    monkeypatch.chdir(folder)
    variables = {
        "HOME": home,
        "MODEL": folder / "model",
        "POLICY": folder / "policy.yaml",
        "METRICS": "off",
        "RUNTIME": "local",
        "TRACEBACK": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GUARDEDIT_{name}", str(value))


def written(param: Any, value: str) -> list[str]:
    """The parameter with a value, as it is written on a command line."""
    return [value] if param.param_type_name == "argument" else [f"{param.opts[0]}={value}"]


def calls(path: tuple[str, ...], folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Every parameter with every bad value, and what the command needs besides."""
    params = COMMANDS[path].params
    for param in params:
        if getattr(param, "is_flag", False):
            continue
        others = [p for p in params if p.required and p is not param]
        stops = [word for word in STOPS.get(path, ()) if not word.startswith(param.opts[0])]
        for name, value in BAD.items():
            words = [(p, written(p, "1")) for p in others]
            words.append((param, written(param, value.replace("{tmp}", str(folder)))))
            options = [word for p, parts in words if p.param_type_name == "option" for word in parts]
            arguments = [word for p, parts in words if p.param_type_name == "argument" for word in parts]
            yield f"{param.name}: {name}", [*path, *stops, *options, "--", *arguments]


class Result(NamedTuple):
    code: object
    err: str
    error: str


def call(arguments: list[str]) -> Result:
    given = b"\xff\0{]\n" + b"9" * 5_000 + b"\n"
    code, error = 0, ""
    with CliRunner().isolation(input=given) as (_, err, _):
        try:
            GROUP.main(arguments, prog_name="guardedit")
        except SystemExit as end:
            code = end.code
        except Exception as wrong:  # noqa: BLE001 - what this test is about
            error = f"{type(wrong).__name__}: {wrong}"
        return Result(code, err.getvalue().decode(), error)


def wrong_with(result: Result) -> str:
    if result.error:
        return result.error
    if result.code not in {0, 1, 2, 3, 4}:
        return f"exit code {result.code}"
    if result.code in {2, 4} and "error: " not in result.err:
        return f"no error line: {result.err!r:.200}"
    if "Traceback" in result.err or "unexpected" in result.err:
        return f"a traceback: {result.err!r:.200}"
    shown = result.err.replace("\u200c", "").replace("\u200d", "")  # joiners are text
    if not all(line.isprintable() and len(line) < 2_500 for line in shown.splitlines()):
        return f"a line that no terminal should see: {result.err!r:.200}"
    return ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_bad_value_of_any_argument_ends_in_a_traceback(path, folder, surroundings):
    started = time.process_time()
    found = {name: wrong_with(call(arguments)) for name, arguments in calls(path, folder)}

    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert time.process_time() - started < PATIENCE_S, "something works before it looks at its arguments"


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_bad_variable_of_the_environment_ends_in_a_traceback(variable, folder, surroundings, monkeypatch):
    found = {}
    for name, value in BAD.items():
        if "\0" in value or not value.strip():
            continue  # no environment can hold it; an empty one is the default
        monkeypatch.setenv(variable, value.replace("{tmp}", str(folder)))
        for words in ("status", "metrics", "policy validate", "run --once"):
            found[f"{name}: {words}"] = wrong_with(call(words.split()))

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_every_command_has_been_found():
    assert len(COMMANDS) > 25
    assert {path[0] for path in COMMANDS} == set(GROUP.commands)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file, so nothing is unreadable to it")
def test_a_file_that_may_not_be_read_is_named(folder, surroundings):
    result = call(["submit", str(folder / "unreadable")])

    assert result.code == 1
    assert "Permission denied" in result.err
