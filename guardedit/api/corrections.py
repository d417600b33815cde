"""Decodes the forms in which the API accepts a correction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from guardedit.core.correction import Correction, decode_correction, encode_correction
from guardedit.core.errors import MalformedCorrection

#: One correction: a JSON object as a mapping or as text, or a `Correction`.
CorrectionLike = Correction | Mapping[str, Any] | str | bytes


def decoded(given: object) -> tuple[bytes, Correction]:
    """The message and the correction in it, so that the caller gets errors in it at once.

    Raises:
        MalformedCorrection, SubjectNotFound: naming field, value and remedy.
    """
    if isinstance(given, Correction):
        raw = encode_correction(given)
    elif isinstance(given, Mapping):
        try:
            raw = json.dumps(dict(given)).encode()
        except (TypeError, ValueError) as error:
            raise MalformedCorrection(f"the correction is not plain JSON data: {error}") from error
    elif isinstance(given, str | bytes):
        raw = given.encode() if isinstance(given, str) else given
    else:
        raise MalformedCorrection(
            f"a correction is a mapping, JSON text or a Correction, got {type(given).__name__}"
        )
    return raw, decode_correction(raw)
