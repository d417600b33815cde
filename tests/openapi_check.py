"""Checks a running server against its own OpenAPI document, with schemathesis in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

#: Requests of each kind to each operation, besides those that cover its document.
EXAMPLES = 3


def check_document(url: str, folder: Path, *, token: str = "", config: str = "", excluded: str = "") -> int:
    """Send seeded requests, valid and not, to every operation; returns how many were sent.

    Args:
        url: the server, without a path.
        folder: for the tool's files.
        token: sent with every request; some checks leave it out.
        config: in the tool's own format.
        excluded: path of an operation that is left out, such as one that never ends.

    Raises:
        AssertionError: what was found, each with the request that shows it.
    """
    (folder / "schemathesis.toml").write_text(config)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--no-color", "--seed", "1", "--generation-deterministic"),
        *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)),
        *("--continue-on-failure", "--no-shrink", "--warnings", "off", "--suppress-health-check", "all"),
        *(["--header", f"Authorization: Bearer {token}"] if token else []),
        *(["--exclude-path", excluded] if excluded else []),
    ]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, "NO_PROXY": "*"}
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) generated", done.stdout)
    assert found, done.stdout
    return int(found[1])
