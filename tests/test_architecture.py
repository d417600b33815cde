"""The floors of the house, checked by import-linter against the contracts in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_import_contracts_are_kept():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert "0 broken" in found.stdout


def test_the_floors_are_these():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    floors = next(contract for contract in contracts if contract["name"] == "One way down")
    assert floors["exhaustive"]
    assert floors["layers"] == [
        "__main__",
        "cli | api",
        "demo",
        "prepare",
        "lab",
        "gateway | publishing",
        "runtime",
        "serving",
        "zoo",
        "assembly",
        "agent | editing | memory | guard | ledger | sources | telemetry",
        "models",
        "policy | settings",
        "naming | plotting | signing",
        "core | version",
    ]


def test_no_file_loads_pickles():
    banned = ("torch.load" + "(", "import " + "pickle")
    sources = {path: path.read_text() for path in (ROOT / "guardedit").rglob("*.py")}
    assert sources
    assert [path for path, text in sources.items() if any(word in text for word in banned)] == []
