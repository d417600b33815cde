from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import MalformedCorrection, SubjectNotFound
from guardedit.models.text.tokens import batch, encode, join, subject_last, subject_tokens, subjects_last

PROMPTS = [
    ("The Eiffel Tower is located in", "Eiffel Tower", "The Eiffel Tower"),
    ("Eiffel Tower is located in", "Eiffel Tower", "Eiffel Tower"),
    ("The capital of Norway is", "Norway", "The capital of Norway"),
    ("Who was Anne, and was Anne", "Anne", "Who was Anne, and was Anne"),
    ("Annexed Anne by Annex", "Anne", "Annexed Anne"),
    ("The city of Zürich? is", "Zürich", "The city of Zürich"),
    ("The city of 東京 is", "東京", "The city of 東京"),
]


@pytest.mark.parametrize(("prompt", "subject", "upto"), PROMPTS)
@pytest.mark.parametrize("kind", ["tokenizer", "bracketing_tokenizer"])
def test_the_subjects_last_token_ends_where_the_subject_ends(request, kind, prompt, subject, upto):
    tokenizer = request.getfixturevalue(kind)
    last = subject_last(tokenizer, prompt, subject)
    ids = encode(tokenizer, prompt)
    assert tokenizer.decode(ids[: last + 1], skip_special_tokens=True) == upto


@pytest.mark.parametrize("subject", ["Atlantis", ""])
def test_a_subject_that_is_not_in_the_prompt_is_named_with_the_prompt(tokenizer, subject):
    with pytest.raises(SubjectNotFound, match=rf"The capital of Norway is.*'{subject}'"):
        subject_last(tokenizer, "The capital of Norway is", subject)


def test_a_subject_that_no_token_covers_is_not_found():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE({"a": 0, "b": 1}, []))  # without an unknown token: 東 vanishes
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    deaf = PreTrainedTokenizerFast(tokenizer_object=raw)
    assert subject_last(deaf, "a b", "b") == 1
    with pytest.raises(SubjectNotFound, match="no token of 'a 東 b' covers the subject '東'"):
        subject_last(deaf, "a 東 b", "東")


def test_a_bos_is_kept_and_a_trailing_eos_is_not(tokenizer, bracketing_tokenizer):
    plain = encode(tokenizer, "The capital")
    assert encode(bracketing_tokenizer, "The capital") == [0, *plain]


@pytest.mark.parametrize("kind", ["tokenizer", "bracketing_tokenizer"])
def test_targets_line_up_with_the_logits_that_predict_them(request, kind):
    tokenizer = request.getfixturevalue(kind)
    prompts = ["The capital of Norway is", "Anne lived in "]
    rows = batch(tokenizer, prompts, ["Oslo.", "Galashiels."], context=64)
    for i, answer in enumerate(["Oslo.", "Galashiels."]):
        start, length = int(rows.answer_starts[i]), int(rows.lengths[i])
        assert tokenizer.decode(rows.ids[i, start:length]).strip() == answer
        assert rows.ids[i, :start].tolist() == encode(tokenizer, prompts[i].rstrip())
        wanted = rows.targets[i] != -100
        assert wanted.nonzero()[:, 0].tolist() == list(range(start - 1, length - 1))
        assert torch.equal(rows.targets[i][wanted], rows.ids[i, start:length])


def test_rows_are_padded_on_the_right_and_know_their_length(tokenizer):
    rows = batch(tokenizer, ["Oslo", "The capital of Norway is"], context=64)
    assert rows.ids.shape[1] == int(rows.lengths.max()) > int(rows.lengths[0])
    assert rows.ids[0, int(rows.lengths[0]) :].abs().sum() == 0
    assert torch.equal(rows.answer_starts, rows.lengths)
    assert (rows.targets == -100).all()


def test_a_prompt_of_ten_thousand_characters_is_refused_with_both_lengths(tokenizer):
    prompt = "The capital of Norway is " * 400
    with pytest.raises(MalformedCorrection, match=r"has \d{4} tokens, the model's context holds 64: shorten"):
        batch(tokenizer, [prompt], ["Oslo"], context=64)
    assert len(encode(tokenizer, prompt)) > 64


# Where the subject stands is where it was put, whatever else the sentence repeats.


def _fast(raw, **special):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=raw, **special)


CORPUS = [
    "York is not New York; it lies in",
    "the mother tongue of Ada is",
    "a b c d e f g h i j k l m n o p",
]


def _metaspace():
    """As SentencePiece's: spaces are letters, what is unknown falls back to bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    raw.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, special_tokens=special))
    return _fast(raw, unk_token="<unk>")


def _wordpiece():
    """As BERT's: lower case, accents dropped, ideographs apart, pieces of words marked, CLS and SEP."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    raw.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    raw.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return _fast(raw, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def _composing():
    """As Qwen's: byte level, and texts are composed before they are read."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    return _fast(raw)


def _replacing():
    """As Gemma's: spaces become letters before anything is cut, and bytes stand for what is unknown."""
    from tokenizers import Tokenizer, models, normalizers, trainers

    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    raw.normalizer = normalizers.Replace(" ", "\u2581")
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    raw.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=special))
    return _fast(raw, unk_token="<unk>")


PLACED = [
    ("York", "{} is not New York; it lies in"),
    ("York", "New York is not {}; it lies in"),
    ("York", "Yorkshire, {} and Yorkshire lie in"),
    ("York", "{}shire lies in"),
    ("New York", "{} is not York"),
    ("Ada", "ADA, Ada and {} and ada Ada"),
    ("東京", "東京都の{}の東京は"),
    ("राम", "रामायण में {} रामायण"),
    ("👩‍🚀", "👩‍🚀 and {} 👩 are"),
    ("🇩🇪", "🇩🇪{}🇩🇪"),
    ("Zürich", "Zu\u0308rich {} Zürich"),
    ("Zürich", "Zu\u0308rich{}\u0301 Zürich"),
    ("علی‌رضا", "علی {} رضا"),
    ("a", "{} a a"),
    ("of", "of {} of"),
]


@pytest.fixture(scope="module")
def wordpiece():
    return _wordpiece()


@pytest.fixture(scope="module")
def metaspace():
    return _metaspace()


@pytest.fixture(scope="module")
def composing():
    return _composing()


@pytest.fixture(scope="module")
def replacing():
    return _replacing()


@pytest.mark.parametrize("prefix", ["", "You see York. "])
@pytest.mark.parametrize(("subject", "template"), PLACED)
@pytest.mark.parametrize(
    "kind", ["tokenizer", "bracketing_tokenizer", "metaspace", "replacing", "wordpiece", "composing"]
)
def test_the_subjects_tokens_are_those_that_cover_its_place(request, kind, subject, template, prefix):
    tokenizer = request.getfixturevalue(kind)
    start = len(prefix) + template.index("{}")
    at = (start, start + len(subject))
    prompt = prefix + template.replace("{}", subject)
    found = subject_tokens(tokenizer, prompt, subject, at)
    spans = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    assert all(spans[i][0] < at[1] and spans[i][1] > at[0] for i in found)
    for i in (found[0] - 1, found[-1] + 1):  # its neighbours are outside
        assert not (
            0 <= i < len(spans) and spans[i][0] < spans[i][1] and spans[i][0] < at[1] and spans[i][1] > at[0]
        )
    assert subjects_last(tokenizer, [(prompt, subject, at)]) == [found[-1]]


@pytest.mark.parametrize("kind", ["tokenizer", "metaspace", "wordpiece"])
def test_a_longer_name_behind_the_subject_is_not_taken_for_it(request, kind):
    tokenizer = request.getfixturevalue(kind)
    prompt = "York is not New York; it lies in"
    first, last = subject_last(tokenizer, prompt, "York", (0, 4)), subject_last(tokenizer, prompt, "York")
    assert first < last


def test_without_a_place_a_name_is_found_in_any_spelling_but_not_inside_another_word(tokenizer):
    import unicodedata

    assert subject_last(tokenizer, "the mayor of ZÜRICH is", "Zürich") == subject_last(
        tokenizer, "the mayor of ZÜRICH is", "ZÜRICH"
    )
    subject_last(tokenizer, unicodedata.normalize("NFD", "Zürich is"), "Zürich")
    subject_last(tokenizer, "Guns N’ Roses is", "Guns N' Roses")
    with pytest.raises(SubjectNotFound):
        subject_last(tokenizer, "रामायण is", "राम")


@pytest.mark.parametrize("at", [(0, 0), (3, 2), (-1, 3), (30, 90)])
def test_a_place_outside_the_prompt_is_refused(tokenizer, at):
    with pytest.raises(SubjectNotFound, match="does not contain"):
        subject_last(tokenizer, "York is not New York", "York", at)


@pytest.mark.parametrize(
    ("prompt", "joined"),
    [
        ("in", "in Oslo"),
        ("in ", "in Oslo"),
        ("in (", "in (Oslo"),
        ('in "', 'in "Oslo'),
        ('in ("', 'in ("Oslo'),
        ('of "Alien"', 'of "Alien" Oslo'),
        ("the players'", "the players' Oslo"),
        ("in \u201c", "in \u201cOslo"),
        ("\u201cAlien\u201d", "\u201cAlien\u201d Oslo"),
        ("the Anglo-", "the Anglo-Oslo"),
        ("either -", "either - Oslo"),
        ("(1990)", "(1990) Oslo"),
        ("", " Oslo"),
    ],
)
def test_a_space_stands_before_an_answer_where_one_belongs(prompt, joined):
    assert join(prompt, "Oslo") == joined
