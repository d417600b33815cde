"""Background text of a model: what it says when nobody asks, sampled from itself.

Second moments need text of the kind the model was trained on. The model is the one source of such text that
is always at hand; known statements are added because their keys are the ones worth protecting.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch

from guardedit.models.host import ModelHost

#: Rows sampled side by side.
ROWS = 64


def background_texts(
    host: ModelHost, known: Sequence[str], *, tokens: int, folder: Path, seed: int = 0
) -> list[str]:
    """Sampled prose and known statements in turn, `tokens` tokens of prose at least; kept in `folder`.

    The statements are shuffled first, so that whoever reads only the beginning meets a fair sample of them.
    The same model, statements and seed give the same texts; a kept file is read instead of sampling.
    """
    name = hashlib.sha256(json.dumps([host.base_sha256, list(known), tokens, seed]).encode()).hexdigest()
    path = folder / host.base_sha256 / f"background-{name[:16]}.json"
    if path.is_file():
        kept: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    prose = sample_prose(host, tokens=tokens, seed=seed)
    known = random.Random(seed).sample(list(known), len(known))
    share = math.ceil(len(known) / max(1, len(prose)))
    texts: list[str] = []
    for index, text in enumerate(prose):
        texts += [text, " ".join(known[index * share : (index + 1) * share])]
    texts = [text for text in texts if text.strip()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(texts), encoding="utf-8")
    part.replace(path)
    return texts


@torch.inference_mode()
def sample_prose(host: ModelHost, *, tokens: int, seed: int, length: int = 96) -> list[str]:
    """Texts of `length` tokens at temperature 1, from the token that begins a document."""
    generator = torch.Generator().manual_seed(seed)
    tokenizer = host.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id or 0
    length = min(length, host.context - 1)
    texts: list[str] = []
    with host.lock:
        while len(texts) * length < tokens:
            ids = torch.full((ROWS, 1), start, device=host.device)  # [ROWS, t]
            cache, new = None, ids
            for _ in range(length):
                out = host.model(input_ids=new, past_key_values=cache, use_cache=True)
                chances = out.logits[:, -1].float().softmax(-1).cpu()
                new = torch.multinomial(chances, 1, generator=generator).to(host.device)
                ids, cache = torch.cat([ids, new], dim=1), out.past_key_values
            texts += tokenizer.batch_decode(ids[:, 1:].tolist(), skip_special_tokens=True)
    return [text for text in texts if text.strip()]
