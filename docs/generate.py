"""Write the pages about what the code itself knows: commands, policy keys, metrics, words, Python API.

`make docs` runs this before it builds the site. The pages are committed, and tests/test_docs.py fails when
they are out of date.

    python docs/generate.py
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
#: Renews the pages.
COMMAND = "python docs/generate.py"
NOTE = f"<!-- Written by `{COMMAND}`. Change the code that it reads, not this page. -->"

Schema = Mapping[str, Any]

#: How limits of a key read, by their name in a JSON schema.
_LIMITS: Mapping[str, str] = {
    "minimum": "at least {:g}",
    "exclusiveMinimum": "above {:g}",
    "maximum": "at most {:g}",
    "exclusiveMaximum": "below {:g}",
    "minItems": "not empty",
    "maxItems": "at most {} entries",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "`{}`",
}
_TYPES: Mapping[str, str] = {"integer": "whole number", "string": "text", "boolean": "true or false"}


def commands_page() -> str:
    """Every command with its arguments, options and examples, read from the Typer application."""
    import typer

    from guardedit.cli.main import app

    root = typer.main.get_command(app)
    top = root.context_class(root, info_name="guardedit")
    intro = """
        Every command takes `--help`. Results go to standard output, errors and warnings to standard error.

        | exit code | meaning |
        |---|---|
        | 0 | done |
        | 1 | failed; for `verify` and `demo` also: something is not as it should be |
        | 2 | wrong usage, or a policy that cannot be used |
        | 3 | a correction is held for a person |
        | 4 | conflict: another coordinator or another epoch was first |
        | 141 | the reader of the output is gone, as in `guardedit facts list \\| head -1` |

        An error is one line. `GUARDEDIT_TRACEBACK=1` adds the traceback of an unexpected error.
        Variables that replace options are on the page about [settings](settings.md).
        """
    return "\n".join(["# Commands", NOTE, dedent(intro), *_commands(root, top)])


def _commands(group: Any, context: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        inner = command.context_class(command, parent=context, info_name=name)
        path = inner.command_path
        yield f"{'#' * len(path.split())} {path}\n"
        if hasattr(command, "commands"):
            yield f"{command.help}\n"
            yield from _commands(command, inner)
        else:
            yield from _command(command, inner)


def _command(command: Any, context: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [_argument(one) for one in arguments] + (["[OPTIONS]"] if options else [])
    yield f"```text\n{' '.join([context.command_path, *words])}\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    if arguments:
        yield _table(("argument", "meaning"), [(f"`{_argument(one)}`", one.help or "") for one in arguments])
    records = [one.get_help_record(context) for one in options]
    if options:
        yield _table(("option", "meaning"), [(f"`{spelling}`", text) for spelling, text in records])
    if lines := _examples(command.epilog):
        yield "\n".join(["```sh", *lines, "```\n"])


def _argument(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


def _examples(epilog: str | None) -> list[str]:
    return [line.strip() for line in (epilog or "").splitlines() if line.startswith("  ")]


def policy_page() -> str:
    """Every key of a policy file, from the schema that reads it; conditions, and the default policy."""
    from guardedit.policy.schema import Policy
    from guardedit.policy.variables import VARIABLES

    schema = Policy.model_json_schema(by_alias=True)
    sections = [_section(name, schema["$defs"][name]) for name in _in_order(schema)]
    variables = [(f"`{name}`", one.type, one.meaning) for name, one in VARIABLES.items()]
    default = (ROOT / "policies" / "default.yaml").read_text("utf-8")
    return "\n".join(
        [
            "# Policy keys",
            NOTE,
            "\nA policy is one YAML file. How to write one, and how to try it, is on the page",
            "[Write a policy](how-to/policy.md). A key that is not listed here is an error.\n",
            "## The file\n",
            _keys(schema),
            *sections,
            "## Variables of a condition\n",
            "`when` is an expression in [CEL](https://cel.dev) over these variables. It must be true or",
            "false. Where it has no value, as after a division by zero, the correction is held.\n",
            _table(("variable", "type", "meaning"), variables),
            "## The default policy\n",
            f"```yaml\n{default.rstrip()}\n```\n",
        ]
    )


def _in_order(schema: Schema) -> list[str]:
    """Names of the sections as the file has them, rules and their `match` first."""
    named = [_type(one) for one in schema["properties"].values()]
    order = {name: n for n, text in enumerate(named) for name in schema["$defs"] if f"[{name}]" in text}
    return sorted(schema["$defs"], key=lambda name: (order.get(name, order["Rule"]), name not in order))


def _section(name: str, schema: Schema) -> str:
    return f"## {name}\n\n{inspect.cleandoc(schema['description'])}\n\n{_keys(schema)}"


def _keys(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"`{key}`",
            _type(one),
            "required" if key in required else _yaml(one),
            _limits(one),
            one.get("description", ""),
        )
        for key, one in schema["properties"].items()
    ]
    return _table(("key", "type", "default", "limits", "meaning"), rows)


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type", "")
    if kind == "array":
        parts = ", ".join(map(_type, schema.get("prefixItems", ())))  # of a tuple
        return f"[{parts}]" if parts else f"list of {_type(schema['items'])}"
    return _TYPES.get(kind, kind)


def _limits(schema: Schema) -> str:
    for one in schema.get("anyOf", ()):
        if limits := _limits(one):
            return limits
    found = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    return ", ".join(found)


def _yaml(schema: Schema) -> str:
    default = schema.get("default")
    if isinstance(default, Mapping):
        return "below"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def metrics_page() -> str:
    """Every metric family with type, labels and help."""
    from guardedit.telemetry.metrics import DURATION_BUCKETS_S, FAMILIES

    rows = [
        (f"`{one.name}`", str(one.type), ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in FAMILIES
    ]
    buckets = ", ".join(f"{bound:g}" for bound in DURATION_BUCKETS_S)
    text = f"""
        `guardedit run` serves these at `/metrics`, by default on `127.0.0.1:9108`; `guardedit metrics` prints
        those that the ledger knows. What to do with them is on the page
        [Watch it with Prometheus](how-to/prometheus.md). A histogram has the series `_bucket`, `_count` and
        `_sum`; its bounds are {buckets} seconds.
        """
    return "\n".join(["# Metrics", NOTE, dedent(text), _table(("metric", "type", "labels", "meaning"), rows)])


def glossary_page() -> str:
    """The first two columns of the glossary; the third is a rule for those who write code."""
    lines = (ROOT / "guardedit" / "core" / "README.md").read_text("utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    rows = [(term.strip(), meaning.strip()) for term, meaning, *_ in cells[1:]]
    text = "One word for one thing: code, messages and these pages use the words in this sense."
    return "\n".join(["# Glossary", NOTE, f"\n{text}\n", _table(("term", "meaning"), rows)])


def python_page() -> str:
    """The public names of `guardedit` with their signatures and docstrings, and the examples."""
    import guardedit

    described = (guardedit.open, guardedit.Agent, guardedit.Editor, guardedit.Edited, guardedit.LiveFacts)
    public = {name: getattr(guardedit, name) for name in guardedit.__all__ if not name.startswith("_")}
    errors = {
        name: one for name, one in public.items() if inspect.isclass(one) and issubclass(one, Exception)
    }
    others = {name: one for name, one in public.items() if name not in errors and one not in described}
    intro = """
        `import guardedit` costs nothing; what a name needs is imported when the name is first used. How to
        begin is on the page [Use it from Python](how-to/python.md).
        """
    return "\n".join(
        [
            "# Python API",
            NOTE,
            dedent(intro),
            *(_public(one) for one in described),
            "## Other names\n",
            _summaries("name", others),
            "## Errors\n",
            "Errors that are raised on purpose are `GuardeditError`s. The message names value and remedy.\n",
            _summaries("error", errors),
            *_example_files(),
        ]
    )


def _summaries(head: str, named: Mapping[str, Any]) -> str:
    """Names with the first paragraph of their docstrings."""
    rows = [(f"`{name}`", (inspect.getdoc(one) or "").partition("\n\n")[0]) for name, one in named.items()]
    return _table((head, "meaning"), rows)


def _public(value: Any) -> str:
    """A function, or a class with its public methods."""
    name = f"guardedit.{value.__name__}"
    if not inspect.isclass(value):
        return f"## {name}\n\n{_signature(name, value)}{_docstring(value)}"
    methods = [(name, one) for name, one in vars(value).items() if not name.startswith("_")]
    made_here = "Args:" in (inspect.getdoc(value) or "")  # others are only returned
    signature = _signature(name, value) if made_here else ""
    return "\n".join([f"## {name}\n\n{signature}{_docstring(value)}", *(_method(*one) for one in methods)])


def _method(name: str, value: Any) -> str:
    signature = "" if isinstance(value, property) else _signature(name, value)
    return f"### {name}\n\n{signature}{_docstring(value)}"


def _docstring(value: Any) -> str:
    return f"```text\n{inspect.getdoc(value)}\n```\n"


def _signature(name: str, value: Any) -> str:
    """As it stands in the source, without `self`."""
    function = value.__init__ if inspect.isclass(value) else value
    [node] = ast.parse(dedent(inspect.getsource(function))).body
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    returned = "" if inspect.isclass(value) else f" -> {ast.unparse(node.returns)}"
    return f"```python\n{name}({arguments}){returned}\n```\n\n"


def _example_files() -> Iterator[str]:
    files = sorted((DOCS / "examples").glob("*.py"))
    if files:
        yield "## Examples\n"
    for file in files:
        yield f"`docs/examples/{file.name}`:\n\n```python\n{file.read_text('utf-8').rstrip()}\n```\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


#: Page -> what writes it.
PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "policy.md": policy_page,
    "metrics.md": metrics_page,
    "glossary.md": glossary_page,
    "python.md": python_page,
}


def main() -> None:
    """Write every page that has changed."""
    for name, write in PAGES.items():
        page, text = DOCS / name, write().rstrip() + "\n"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
