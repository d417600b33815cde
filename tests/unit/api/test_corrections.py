from __future__ import annotations

import pytest

from guardedit.api.corrections import decoded
from guardedit.core.correction import Correction, encode_correction
from guardedit.core.errors import MalformedCorrection, SubjectNotFound

BODY = {"id": "a", "subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
CORRECTION = Correction(**BODY)


@pytest.mark.parametrize(
    "given", [BODY, CORRECTION, encode_correction(CORRECTION), encode_correction(CORRECTION).decode()]
)
def test_a_correction_may_come_in_four_forms(given):
    assert decoded(given)[1] == CORRECTION


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "a correction is a mapping, JSON text or a Correction, got int"),
        (None, "got NoneType"),
        ({**BODY, "tags": {1, 2}}, "not plain JSON data"),
        ({**BODY, "target_new": float("nan")}, "NaN is not valid JSON"),
        ({**BODY, "colour": "red"}, "unknown field 'colour'"),
        ("{", "not a JSON object"),
        ({**BODY, "subject": "\udcff"}, "subject"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(given, said):
    with pytest.raises(MalformedCorrection, match=said):
        decoded(given)


def test_a_prompt_without_its_place_for_the_subject_is_refused():
    with pytest.raises(SubjectNotFound, match="exactly once"):
        decoded({**BODY, "prompt": "The headquarters are in"})
