"""Parses options with several values, separated by commas."""

from __future__ import annotations

import math
from collections.abc import Sequence

from guardedit.core.errors import UsageError

#: Largest number in a list of facts, widths or lengths: no machine has memory for more.
MOST = 1_000_000


def names_in(text: str | None) -> tuple[str, ...]:
    """The names between the commas, each once.

    >>> names_in("rome, memit,,rome")
    ('rome', 'memit')
    """
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def choices_in(option: str, text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """The names between the commas, each once; empty for no text.

    Raises:
        UsageError: a name that is not in `known`, or none at all.
    """
    names = names_in(text)
    if text is not None and not names:
        raise UsageError(f"{option} {text!r} names nothing: use one or several of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {name!r} does not exist: use one or several of {', '.join(known)}")
    return names


def numbers_in(option: str, text: str | None, *, at_least: int = 0) -> tuple[int, ...]:
    """The whole numbers between the commas; empty for an empty text.

    Args:
        option: named in errors.
        text: as given.
        at_least: the smallest number allowed.

    Raises:
        UsageError: not a list of numbers, or a number that is too small or too large.
    """
    if not text:
        return ()
    try:
        numbers = tuple(_whole(part) for part in text.split(","))
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text!r} is not a list of numbers: write them as 1,8,64") from None
    if min(numbers) < at_least:
        raise UsageError(f"{option} {text!r} holds {min(numbers)}: the smallest allowed is {at_least}")
    if max(numbers) > MOST:
        raise UsageError(f"{option} {text!r} holds {max(numbers)}: the largest allowed is {MOST}")
    return numbers


def _whole(text: str) -> int:
    """A whole number, also as 1e6.

    Raises:
        ValueError, OverflowError: the text is none.
    """
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def factors_in(option: str, text: str | None) -> tuple[float, ...]:
    """The positive numbers between the commas, each once; empty for an empty text.

    Raises:
        UsageError: not a list of numbers, or one that is not positive and finite.
    """
    if not text:
        return ()
    try:
        factors = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a list of numbers: write them as 0.5,1,2") from None
    for factor in factors:
        if not 0 < factor < math.inf:
            raise UsageError(f"{option} {text!r} holds {factor:g}: each must be positive and finite")
    return factors


def layers_in(text: str) -> tuple[int, ...] | None:
    """The layers of `--layers`; None for `all`.

    Raises:
        UsageError: neither `all` nor a list of layers.
    """
    if text.strip() == "all":
        return None
    try:
        layers = tuple(int(part) for part in text.split(","))
    except ValueError:
        layers = ()
    if not layers or min(layers) < 0:
        raise UsageError(f"--layers {text!r} is neither all nor a list of layers: write them as 2,3,4")
    return layers
