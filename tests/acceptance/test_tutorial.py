"""Every command of docs/tutorial.md runs in one shell, in order, and prints what the page says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
#: Printed between the outputs of two commands.
MARK = "--- next command ---"
#: Ports of the page -> free ports.
PORTS = ("8000", "9108", "9109")


def blocks(kind: str) -> list[tuple[str, str]]:
    """(title, content) of the page's code blocks of a kind."""
    pattern = rf"^```{kind}(?: title=\"(.*?)\")?\n(.*?)^```$"
    return re.findall(pattern, PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command with the output that the page shows."""
    found: list[tuple[str, str]] = []
    for line in "".join(content for _, content in blocks("console")).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, shown = found[-1]
            found[-1] = (command, f"{shown}{line}\n")
    return found


def free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def fits(said: str, shown: str) -> bool:
    """Whether an output is the one on the page, where `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, said.strip(), flags=re.DOTALL) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")
def test_the_tutorial_does_what_it_says(tmp_path: Path, warm_home: Path):
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))

    def here(text: str) -> str:
        for port, free in ports.items():
            text = text.replace(f":{port}", f":{free}")
        return text

    (tmp_path / ".guardedit").mkdir()
    shutil.copytree(warm_home / "moments", tmp_path / ".guardedit" / "moments")  # saves a minute
    for title, content in blocks("python"):
        (tmp_path / title).write_text(here(content), "utf-8")
    wanted = commands()
    assert len(wanted) > 15
    script = "".join(f"{here(command)}\necho '{MARK}'\n" for command, _ in wanted)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GUARDEDIT_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GUARDEDIT_ADMIN": f"127.0.0.1:{ports['9109']}",
        "GUARDEDIT_METRICS": f"127.0.0.1:{ports['9108']}",
    }
    ran = subprocess.run(
        ["bash", "-m"],
        input=script,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    outputs = ran.stdout.split(f"{MARK}\n")
    logs = "".join((tmp_path / name).read_text() for name in ("run.log", "run.err", "serve.log", "serve.err"))
    for (command, shown), said in zip(wanted, outputs, strict=False):
        assert fits(said, here(shown)), f"{command}\nprinted:\n{said}\n{ran.stderr}\n{logs}"
    assert len(outputs) == len(wanted) + 1
