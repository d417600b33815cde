"""Background text for the second moments of the keys, sampled from the model itself.

Second moments need text like the model's training data, and the model is the one source of such text that is
always available. Known statements are added, because their keys are the ones to protect.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from guardedit.core.durable import replace_file
from guardedit.models.host import ModelHost
from guardedit.models.threads import one_thread

#: Rows sampled at the same time.
ROWS = 64


def background_texts(
    host: ModelHost,
    known: Sequence[str],
    *,
    tokens: int,
    folder: Path,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Sampled prose and known statements, alternating; cached as a file in `folder`.

    The same model, statements and seed give the same texts. A cached file is read instead of sampling, unless
    it is damaged.

    Args:
        host: the base model.
        known: statements that the model knows. They are shuffled, so that the beginning of the texts contains
            a fair sample of them.
        tokens: least number of tokens of prose.
        folder: of the cache.
        seed: of the sampling and the shuffling.
        tell: gets tokens sampled and in all.

    Raises:
        StorageFull: when the file cannot be written.
    """
    name = hashlib.sha256(json.dumps([host.base_sha256, list(known), tokens, seed]).encode()).hexdigest()
    path = folder / host.base_sha256 / f"background-{name[:16]}.json"
    if (cached := _read(path)) is not None:
        return cached
    prose = sample_prose(host, tokens=tokens, seed=seed, tell=tell)
    known = random.Random(seed).sample(list(known), len(known))
    share = math.ceil(len(known) / max(1, len(prose)))
    texts: list[str] = []
    for index, text in enumerate(prose):
        texts += [text, " ".join(known[index * share : (index + 1) * share])]
    texts = [text for text in texts if text.strip()]
    replace_file(path, json.dumps(texts).encode(), step="background")
    return texts


def _read(path: Path) -> list[str] | None:
    """The texts in a file; None when it is absent or damaged."""
    try:
        texts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if whole else None


@torch.inference_mode()
def sample_prose(
    host: ModelHost,
    *,
    tokens: int,
    seed: int,
    length: int = 96,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Sample texts of `length` tokens at temperature 1, about `tokens` in all, from the document-start token.

    Runs on one thread: a probability that is rounded differently may change a token, and then all tokens
    after it.
    """
    generator = torch.Generator().manual_seed(seed)
    tokenizer = host.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id or 0
    length = min(length, host.context - 1)
    texts: list[str] = []
    with host.lock, one_thread():
        while len(texts) * length < tokens:
            ids = torch.full((ROWS, 1), start, device=host.device)  # [ROWS, t]
            cache, new = None, ids
            for step in range(length):
                tell(min(tokens, (len(texts) * length + step * ROWS)), tokens)
                out = host.model(input_ids=new, past_key_values=cache, use_cache=True)
                probabilities = out.logits[:, -1].float().softmax(-1).cpu()
                new = torch.multinomial(probabilities, 1, generator=generator).to(host.device)
                ids, cache = torch.cat([ids, new], dim=1), out.past_key_values
            texts += tokenizer.batch_decode(ids[:, 1:].tolist(), skip_special_tokens=True)
    return [text for text in texts if text.strip()]
