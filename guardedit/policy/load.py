"""Loads a policy from a file or a text. A bad policy raises one error that lists all problems."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from guardedit.core.errors import PolicyError
from guardedit.policy.problems import key_text, rule_problems, schema_problems
from guardedit.policy.read import Place, Problem, read_yaml
from guardedit.policy.schema import Policy

#: Largest accepted policy, in bytes of UTF-8.
MAX_POLICY_BYTES = 256 * 1024


def load_policy(path: Path) -> Policy:
    """Load a policy file.

    Raises:
        PolicyError: one line `file:line:col: key: message` for each problem, in the order of the file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise PolicyError(
            f"{path}: cannot be read ({error.strerror or error}): give the path of a readable policy file"
        ) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(raw) <= MAX_POLICY_BYTES:
            raise PolicyError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from error
        text = raw.decode("utf-8", errors="replace")  # too large anyway, and cut within a character
    return parse_policy(text, name=str(path))


def parse_policy(text: str, *, name: str) -> Policy:
    """Load a policy from YAML text.

    Args:
        text: the YAML.
        name: used instead of a file name in error messages.

    Raises:
        PolicyError: as for `load_policy`.
    """
    size = len(text.encode(errors="replace"))
    if size > MAX_POLICY_BYTES:
        raise PolicyError(f"{name}: larger than {MAX_POLICY_BYTES} bytes: shorten it")
    parsed = read_yaml(text)
    problems = list(parsed.problems)
    policy = None
    if isinstance(parsed.data, dict):
        problems += rule_problems(parsed.data, parsed)
        try:
            # Through JSON, because strict models accept exactly the types of JSON.
            policy = Policy.model_validate_json(json.dumps(parsed.data))
        except ValidationError as error:
            problems += schema_problems(error, parsed)
    elif not problems:
        problems.append(
            Problem(Place(1, 1), (), "a policy is a mapping that begins with `apiVersion: guardedit/v1`")
        )
    if policy is None or problems:
        lines = dict.fromkeys(_line(name, problem) for problem in sorted(problems, key=lambda p: p.place))
        raise PolicyError("\n".join(lines))
    return policy


def _line(name: str, problem: Problem) -> str:
    (line, column), path, message = problem
    return f"{name}:{line}:{column}: {key_text(path)}: {message}"
