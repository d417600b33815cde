from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from guardedit.cli.terminal.failure import CommandGroup, code_of
from guardedit.core import errors

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.GuardeditError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_is_a_line_on_stderr_and_a_code(kind):
    app = typer.Typer(cls=CommandGroup, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise kind("the value is wrong: use another")

    @app.command()
    def other() -> None:
        """A second command makes the app a group."""

    result = CliRunner().invoke(app, ["fail"])

    assert result.exit_code == code_of(kind("")) in (1, 2, 4)
    assert (result.stdout, result.stderr) == ("", "error: the value is wrong: use another\n")


def test_the_codes_do_not_change():
    codes = {kind.__name__: int(code_of(kind(""))) for kind in CLASSES}

    assert {name for name, code in codes.items() if code == 2} == {"UsageError", "NoLedger", "PolicyError"}
    assert {name for name, code in codes.items() if code == 4} == {"ConflictError", "LedgerBusy"}


def test_a_wrong_variable_of_the_environment_is_a_usage_error(guardedit, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_RUNTIME", "cloud")

    result = guardedit("status")

    assert (result.code, result.err) == (2, "error: GUARDEDIT_RUNTIME is 'cloud': use local or ray\n")


def test_an_unknown_command_or_option_is_a_usage_error(guardedit):
    assert guardedit("stauts").code == 2
    assert guardedit("status", "--loud").code == 2


def test_the_light_commands_import_nothing_heavy():
    code = (
        "import sys; import guardedit.cli.main; "
        "print(sorted({'torch', 'transformers', 'ray', 'faiss', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    "arguments", ["status", "dlq list", "submit -", "policy validate", "held list", "verify --ledger-only"]
)
def test_commands_that_need_no_model_load_no_torch(home, ledger_file, arguments):
    code = (
        "import sys\n"
        "from guardedit.cli.main import app\n"
        f"app({arguments.split()!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'ray', 'faiss'} & set(sys.modules)), file=sys.stderr)\n"
    )
    environment = {
        **os.environ,
        "GUARDEDIT_HOME": str(home),
        "GUARDEDIT_POLICY": str(Path(__file__).parents[4] / "policies" / "default.yaml"),
    }

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, input=""
    )

    assert result.stderr == "[]\n"
