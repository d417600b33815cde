"""Makes lines that are not valid corrections, with mistakes that occur in practice."""

from __future__ import annotations

import json

from guardedit.core.correction import MAX_MESSAGE_BYTES, MAX_TEXT


def malformed_line(number: int) -> bytes:
    """Malformed line `number`. The mistakes repeat, but no two lines are equal."""
    fine = {"id": f"bad-{number}", "subject": "Ada", "prompt": "{} was born in", "target_new": "Paris"}
    makers = (
        lambda: b'{"id": "bad-%d", "subject": "Ada", "prompt": ' % number,  # cut off
        lambda: b"\xff\xfe not text %d" % number,
        lambda: b'"bad-%d"' % number,
        lambda: _line({**fine, "prompt": "Ada was born in"}),  # no {} for the subject
        lambda: _line({**fine, "target_new": " "}),
        lambda: _line({**fine, "target": "Paris"}),  # unknown field
        lambda: _line({**fine, "subject": "Ada\u202e"}),  # reverses the direction of the following text
        lambda: _line({**fine, "prompt": "{} " + "very " * (MAX_TEXT // 5)}),
        lambda: _line({**fine, "provenance": {"confidence": float("nan")}}),
        lambda: _line({**fine, "valid_until_s": "next Tuesday"}),
        lambda: _line({**fine, "op": "delete"}),
        lambda: _line({**fine, "evidence": "x" * MAX_MESSAGE_BYTES}),
    )
    return makers[number % len(makers)]()


def _line(body: dict[str, object]) -> bytes:
    return json.dumps(body).encode()
