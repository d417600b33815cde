from __future__ import annotations

import io
import math
import sys

import pytest

from guardedit.cli.terminal import show
from guardedit.cli.terminal.show import Output

ROWS = [{"name": "a", "value": 1.23456, "more": [1, 2]}, {"name": "bb\x1b[2J\n", "value": math.nan}]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_pipe_gets_aligned_columns_and_nothing_to_move_a_cursor(capsys):
    show.rows(ROWS, ("name", "value"), Output.TABLE, empty="")

    assert capsys.readouterr().out == "name         value\na            1.235\nbb\\x1b[2J\\n  -\n"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_a_table_without_colour_when_it_asks_so(monkeypatch, no_color):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)

    show.rows([{"name": "[red]x"}], ("name",), Output.TABLE, empty="")

    assert "[red]x" in terminal.getvalue()  # texts are never read as markup
    assert "\x1b[2J" not in terminal.getvalue()
    assert not any(f"\x1b[{code}m" in terminal.getvalue() for code in range(30, 38))


def test_json_has_no_nan_and_every_field(capsys):
    show.rows(ROWS, ("name",), Output.JSON, empty="")

    result = capsys.readouterr().out
    assert '"value": null' in result
    assert '"more"' in result
    assert result.isascii()


def test_an_error_of_several_lines_keeps_them(capsys):
    show.error("one\ntwo \x1b[31m")

    assert capsys.readouterr().err == "error: one\ntwo \\x1b[31m\n"


def test_a_stream_that_does_not_know_a_letter_gets_an_escape(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))

    show.line({}, Output.TABLE, "Tromsø")
    sys.stdout.flush()

    assert raw.getvalue() == b"Troms\\xf8\n"


def test_a_time_that_nobody_knows_is_none():
    assert show.moment(None) is None
    assert show.moment(math.nan) is None
