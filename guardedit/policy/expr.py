"""A `when:` condition: a CEL expression, compiled with declared types and evaluated once for each correction.

The only file that uses the CEL library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from cel_expr_python import cel
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from guardedit.core.errors import PolicyError, warn_renamed
from guardedit.policy.variables import RENAMED_VARIABLES, VARIABLES, VariableType

#: Longest accepted expression, in UTF-8 bytes. A longer one should be several rules.
MAX_EXPRESSION_BYTES = 2_048

_MESSAGE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '(\w+)'")


class Condition:
    """A compiled condition. It is compared, hashed and pickled by its text, so policies can be pickled.

    Raises:
        PolicyError: the text is not a valid condition; the message has a caret under every mistake.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._program = _compile(text)

    def holds(self, values: Mapping[str, object]) -> bool:
        """Whether the condition is true for these values of `VARIABLES`.

        Raises:
            PolicyError: the condition has no value, as with a division by zero or an index out of range.
                The caller must fail closed.
        """
        try:
            result = self._program.eval(data=dict(values))
            value = result.value() if result.type() == cel.Type.BOOL else None
        except RuntimeError as error:  # the library's only exception: budgets, texts that it cannot encode
            raise PolicyError(f"`{self.text.strip()}` has no value: {error}") from error
        # The library returns an error as a value, which would be true in a boolean context.
        if not isinstance(value, bool):
            raise PolicyError(f"`{self.text.strip()}` has no value: {result.value()}")
        return value

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type[Condition], tuple[str]]:
        return Condition, (self.text,)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validated from a text and serialised as a text."""
        from_text = core_schema.no_info_after_validator_function(
            _from_text, core_schema.str_schema(strict=True)
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda condition: condition.text, return_schema=core_schema.str_schema()
            ),
        )


def _from_text(text: str) -> Condition:
    try:
        return Condition(text)
    except PolicyError as error:
        raise PydanticCustomError("condition", "{problem}", {"problem": str(error)}) from error


def _compile(text: str) -> Any:
    if not text.strip():
        raise PolicyError("the condition is empty: write one, or leave `when` out")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PolicyError(
            f"the condition is not valid Unicode at character {error.start}: remove it"
        ) from error
    if size > MAX_EXPRESSION_BYTES:
        raise PolicyError(
            f"the condition has {size} bytes, the limit is {MAX_EXPRESSION_BYTES}: split the rule"
        )
    for old, new in RENAMED_VARIABLES.items():
        if re.search(rf"(?<![\w.'\"]){old}(?![\w'\"])", text):
            warn_renamed("variable", old, new)
    variables = {**VARIABLES, **{old: VARIABLES[new] for old, new in RENAMED_VARIABLES.items()}}
    environment = cel.NewEnv(
        variables={name: _cel_type(variable.type) for name, variable in variables.items()}
    )
    try:
        program = environment.compile(text)
    except RuntimeError as error:
        raise PolicyError(_explain(text, str(error))) from error
    if program.return_type() != cel.Type.BOOL:
        raise PolicyError(
            f"the condition is a {str(program.return_type()).lower()}, not a bool: compare it with a value"
        )
    return program


def _cel_type(name: VariableType) -> Any:
    types: dict[VariableType, Any] = {
        "bool": cel.Type.BOOL,
        "int": cel.Type.INT,
        "double": cel.Type.DOUBLE,
        "string": cel.Type.STRING,
        "list(string)": cel.Type.List(cel.Type.STRING),
    }
    return types[name]


def _explain(text: str, error: str) -> str:
    """The library's error messages, each with its line, a caret and a suggestion."""
    found = _MESSAGE.findall(error)
    if not found:
        return error
    lines = text.splitlines() or [text]
    parts = []
    for line, column, message in found:
        source = lines[min(int(line), len(lines)) - 1]
        caret = " " * (int(column) - 1) + "^"
        plain = message.removesuffix(" [INVALID_ARGUMENT]").removesuffix(" (in container '')")
        parts.append(f"{plain}{_hint(message)}\n    {source}\n    {caret}")
    return "\n  ".join(parts)


def _hint(message: str) -> str:
    if unknown := _UNDECLARED.search(message):
        close = get_close_matches(unknown[1], VARIABLES, n=1)
        return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(VARIABLES)}"
    if "(double, int)" in message or "(int, double)" in message:
        return "; write 1.0 for a double, 1 for an int"
    return ""
