"""Whether a question asks for a fact, by the model's own old answer."""

from __future__ import annotations

import pytest
import torch

from guardedit.models.host import ModelHost
from guardedit.models.text.asking import Asking, answer_place, asking_nats
from guardedit.models.text.tokens import encode
from tests.tiny_models import CARDED_CONFIGS, build, byte_tokenizer

WORDING = "The capital of Norway is"


@pytest.fixture(scope="module")
def tiny() -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(build(CARDED_CONFIGS["llama"](len(tokenizer))), tokenizer)


def test_the_score_is_the_old_answers_log_probability(tiny):
    with torch.inference_mode():
        wording, place = (
            tiny.model(input_ids=torch.tensor([encode(tiny.tokenizer, text)])).logits[0, -1]
            for text in (WORDING, answer_place("Where?"))
        )
    (found,) = asking_nats(tiny, [Asking(WORDING, "Where?")])
    assert found == pytest.approx(float(place.log_softmax(-1)[wording.argmax()]), abs=1e-4)


def test_other_questions_do_not_change_a_score(tiny):
    asked = [Asking(WORDING, "Where?"), Asking("Peru is", "Who is she?"), Asking(WORDING, "Peru lies in")]
    together = asking_nats(tiny, asked)
    assert together == pytest.approx([asking_nats(tiny, [one])[0] for one in asked], abs=1e-4)
    assert len({round(score, 4) for score in together}) > 1
    assert asking_nats(tiny, []) == []
