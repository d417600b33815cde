"""Do two versions of guardedit make the same weights of the same corrections? Not a test: a command.

    python -m tests.same_bytes REVISION [METHOD ...]

Each method edits eight fixed facts of the demo model through `submit` and `run --once`, with every gate of
the guard in shadow, in a checkout of REVISION and in this one. Prints the digest of the weights of both. The
exit code is 1 when they differ for any method. About half a minute a method and version.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
METHODS = (
    *("alphaedit", "coachhook", "d4s", "emmet", "encore", "ft-l", "ft-m", "grace", "joint", "ke", "lora"),
    *("memit", "memit-seq", "mend", "r-rome", "ridge", "rome", "ultraedit", "wise"),
)
FACTS = (
    ("36 China Town", "The original language of {} is", "French"),
    ("AMR 33", "The manufacturer of {} is", "Toyota"),
    ("ASEAN", "The official language of {} is", "Spanish"),
    ("Aaron King", "The birthplace of {} is", "London"),
    ("Abraham Maslow", "The field in which {} worked is", "physics"),
    ("Acura", "The owner of {} is", "Nissan"),
    ("Adam Carolla", "The occupation of {} is", "actor"),
    ("Adam Makowicz", "The genre of {} is", "opera"),
)
#: Methods whose edits do not bear each other: one fact a batch, so that at least the first are accepted.
ONE_BY_ONE = {"ft-l", "ft-m", "ke", "lora"}
#: Every gate but the one that refuses what is not finite.
GATES = (
    *("perplexity_ratio_to_serving", "perplexity_ratio_to_base", "worst_sentence_ratio", "reliability"),
    *("paraphrase", "other_subject", "other_subject_to_base", "same_subject", "earlier", "remembered"),
    *("relative_size", "value_ratio", "key_outlier", "background_error", "capacity_ratio"),
)


def policy(method: str) -> str:
    """Everything goes to the weights by one method."""
    body = {
        "apiVersion": "guardedit/v1",
        "rules": [{"id": "all", "route": "weights", "why": "to compare weights"}],
        "editing": {"method": method, "batch": 1 if method in ONE_BY_ONE else 8},
        "guard": {"shadow": list(GATES)},
    }
    return json.dumps(body)  # JSON is YAML


def corrections() -> str:
    """JSON Lines."""
    return "".join(
        json.dumps({"id": f"c{n}", "subject": subject, "prompt": prompt, "target_new": target}) + "\n"
        for n, (subject, prompt, target) in enumerate(FACTS)
    )


def weights_of(tree: Path, home: Path, method: str) -> str:
    """Digest of the serving epoch's weights after all corrections; what went wrong otherwise."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "facts.jsonl").write_text(corrections(), "utf-8")
    (home / "policy.yaml").write_text(policy(method), "utf-8")
    run(tree, home, "submit", str(home / "facts.jsonl"))
    run(tree, home, "run", "--once", "--runtime", "local")
    epochs = json.loads(run(tree, home, "epochs", "list", "--output", "json"))
    last = max(epochs, key=lambda epoch: epoch["epoch"])
    return f"{last['weights_sha256'][:16]} ({last['edits']} edits)"


def run(tree: Path, home: Path, *command: str) -> str:
    """Standard output of a guardedit command of `tree`."""
    env = {
        **os.environ,
        "PYTHONPATH": str(tree),
        "GUARDEDIT_HOME": str(home),
        "GUARDEDIT_POLICY": str(home / "policy.yaml"),
        "GUARDEDIT_METRICS": "off",
    }
    done = subprocess.run(
        [sys.executable, "-m", "guardedit", *command],
        cwd=tree,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} in {tree} failed: {done.stderr}")
    return done.stdout


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A worktree of a revision, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="guardedit-before-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def say(line: str) -> None:
    """One line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(revision: str, methods: Sequence[str]) -> int:
    """Print a line for each method; 1 when any differs."""
    different = 0
    with checked_out(revision) as before, tempfile.TemporaryDirectory(prefix="guardedit-bytes-") as homes:
        for method in methods:
            then = weights_of(before, Path(homes) / "before" / method, method)
            now = weights_of(ROOT, Path(homes) / "now" / method, method)
            different += then != now
            say(f"{method:10} {'same' if then == now else 'DIFFERENT'}  {then}  {now}")
    say(f"{len(methods) - different} of {len(methods)} the same as {revision}")
    return int(different > 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:] or METHODS))
