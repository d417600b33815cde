"""Standard streams that are closed, full, without a reader or not UTF-8: in real processes, by the shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from guardedit.ledger.sqlite_ledger import SqliteLedger

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110


@pytest.fixture
def shell(home, ledger_file):
    """Runs a command in bash, with `$G` for guardedit; returns exit code, stdout and stderr."""

    def run(command: str, **environment: str) -> tuple[int, str, str]:
        result = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "GUARDEDIT_HOME": str(home),
                "G": f"{sys.executable} -m guardedit",
                **environment,
            },
        )
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    return run


@FULL
@pytest.mark.parametrize(
    "words", ["facts list", "facts list -o json", "--help", "facts list --help", "metrics"]
)
def test_a_full_output_is_one_line_on_stderr(shell, words):
    code, _, err = shell(f"$G {words} >/dev/full")

    assert code == 1
    assert err.startswith("error: cannot write the output: No space left on device; ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["facts list", "dlq show 4 --raw", "--version"])
def test_a_closed_output_is_one_line_on_stderr_and_no_file_gets_its_number(shell, home, words):
    code, _, err = shell(f"$G {words} >&-")

    assert code == 1
    assert (
        err == "error: cannot write the output: Bad file descriptor; redirect it elsewhere, or free space\n"
    )
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert ledger.verify() == []


def test_a_reader_that_leaves_ends_the_command_quietly(shell):
    assert shell("$G facts list | true; exit ${PIPESTATUS[0]}") == (141, "", "")
    assert shell("$G --help | true; exit ${PIPESTATUS[0]}") == (141, "", "")
    assert shell("$G metrics | head -1 | cut -c1; exit ${PIPESTATUS[0]}") == (
        0,
        "#\n",
        "",
    )  # fits into the pipe


def test_closed_standard_input_is_named(shell):
    expected = "error: standard input is closed: name a file, or pipe lines into the command\n"

    assert shell("$G submit - <&-") == (1, "", expected)
    assert shell("$G policy explain - <&-") == (1, "", expected)


def test_nobody_needs_stderr(shell):
    assert shell("$G facts show nowhere 2>&-") == (2, "", "")
    assert shell("$G facts show nowhere 2>/dev/full") == (2, "", "")
    assert shell("$G epochs list <&- >&- 2>&-")[0] == 1


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONUTF8": "0"}])
def test_a_terminal_that_is_not_utf8_gets_escapes(shell, environment):
    code, out, err = shell(
        "$G facts show Tromsø; printf '\\xff' >\"$GUARDEDIT_HOME\"/x; $G --help", **environment
    )

    assert code == 0
    assert "error: no fact, live or removed" in err
    assert "Troms" in err
    assert "knowledge editing" in out


def test_bytes_that_are_no_text_are_refused_as_a_name_and_taken_as_a_file(shell):
    code, _, err = shell("$G facts show $'Troms\\xf8'")
    assert (code, "is not text in UTF-8" in err) == (2, True)

    code, out, err = shell("cd \"$GUARDEDIT_HOME\"; echo '{}' >$'Troms\\xf8'; $G submit $'Troms\\xf8'")
    assert (code, err) == (0, "")
    assert out == "Troms\\udcf8: 1 new, 0 redelivered\n"


def test_an_unexpected_error_is_one_line_that_names_the_place(monkeypatch, guardedit, ledger_file):
    def broken(*_):
        raise ZeroDivisionError("the moon")

    monkeypatch.setattr("guardedit.cli.facts.inspect.fact_row", broken)
    monkeypatch.delenv("GUARDEDIT_TRACEBACK")

    result = guardedit("facts", "list")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: unexpected ZeroDivisionError in test_streams.py:")
    assert (
        "the moon; this is a bug in guardedit: please report it with the output of GUARDEDIT_TRACEBACK=1"
        in result.err
    )
    monkeypatch.setenv("GUARDEDIT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        guardedit("facts", "list")
