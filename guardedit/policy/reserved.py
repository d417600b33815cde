"""Words that may not be a subject: a fact about "of" would match every sentence.

Also names that mix alphabets whose letters look alike: a name with a Cyrillic A is not `Apple`.

Names are compared in their folded form (`naming`), so another case, width or typography makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

import regex

from guardedit.naming import identity, name_of, tokens


def _words(text: str) -> frozenset[str]:
    return frozenset(identity(word) for word in text.split())


#: English function words that connect other words.
_CONNECTING = _words(
    "a an the of in on at by to from for with without into onto upon over under above below between among "
    "through during before after since until against about around near off out up down as than like per "
    "via and or but nor so yet if because although though while whereas unless whether am is are was were "
    "be been being do does did done has have had having can could may might must shall should will would "
    "not no n't 's 're 've 'll 'd"
)
#: English pronouns, determiners, question words and adverbs.
_PRONOUNS = _words(
    "i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we "
    "us our ours ourselves they them their theirs themselves this that these those there here one ones "
    "some any all both each every other another such same none nothing something anything everything "
    "nobody somebody anybody everybody who whom whose what which when where why how then now also too "
    "very just only even more most much many few less least own again ever never always often yes "
    "it's he's she's that's what's who's where's when's how's there's here's let's i'm you're we're they're "
    "i've you've we've they've i'll you'll he'll she'll it'll we'll they'll i'd you'd he'd she'd we'd "
    "they'd don't doesn't didn't isn't aren't wasn't weren't haven't hasn't hadn't can't cannot couldn't "
    "won't wouldn't shouldn't mustn't"
)
#: The commonest function words of other languages, without those that are also well-known names: Seine,
#: Como, Sur.
_OTHER_LANGUAGES = _words(
    "der die das den dem des ein eine einer eines einem einen und oder aber nicht ist sind war waren wird "
    "werden hat haben hatte im am zum zur von vom mit bei nach aus auf für über unter vor durch um wer "
    "wie wo wann warum welche welcher welches er sie es wir ihr ich du le la les l' d' un une et ou mais "
    "est sont était être a ont du au aux de dans en par pour avec sans sous qui que quoi où quand comment "
    "quel quelle il elle ils elles nous vous je tu ce cette ces se ne pas el los las unos unas y o pero "
    "es son fue era ser del al en por para con sin sobre quien quién qué que cuando cuándo donde dónde "
    "cómo cuál su sus lo se no il lo gli i uno una ed ma è sono di da dal della dello dei degli nel nella "
    "con per tra fra chi che cosa dove quando quale suo sua si non os as um uma e ou mas é são foi era "
    "ser do da dos das no na nos nas em por com sem quem que qual onde seu sua se não de het een en of "
    "maar niet is zijn was waren wordt heeft hebben van voor met aan op te uit bij naar om door over wie "
    "wat waar wanneer hoe welke hij zij ze wij ik je"
)
#: Particles, copulas and pronouns of Chinese, Japanese and Korean.
_PARTICLES = _words(
    "的 是 在 了 和 与 與 及 之 也 不 有 这 這 那 个 個 我 你 他 她 它 们 們 吗 嗎 呢 吧 把 被 从 從 对 "
    "對 就 都 而 或 什么 什麼 谁 誰 哪里 哪裡 は が を に の と も へ で や か な から まで より です だ "
    "ます した する これ それ あれ 何 誰 どこ 은 는 이 가 을 를 의 에 와 과 도 로 으로 에서 부터 까지 "
    "하고 이다 입니다 그 저 누구 무엇 어디"
)
_RESERVED = _CONNECTING | _PRONOUNS | _OTHER_LANGUAGES | _PARTICLES
#: In capitals these are names. A fact about one of them also matches the word in small letters. Operators who
#: do not want that can add the word to `subjects.words`.
_ACRONYMS = frozenset({"US", "U.S.", "UN", "U.N."})
#: A letter, a number, a flag or a pictograph.
_HAS_CONTENT = regex.compile(
    r"[\p{L}\p{N}\p{Regional_Indicator}]"
    r"|[\p{Extended_Pictographic}--[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff]]",
    regex.VERSION1,
)
#: One letter of an alphabet or syllabary, or one digit, with its marks; not an ideograph or a Korean
#: syllable.
_SINGLE = regex.compile(r"[[\p{L}\p{Nd}]--[\p{Han}\p{Hangul}]]\p{M}*", regex.VERSION1)
#: Signs that turn a single letter into a name: C++, C#, F*.
_NAMING_SIGNS = frozenset("+#*")
#: Alphabets with letters that look like those of another one. Names in several other scripts at once, as
#: Japanese ones, are ordinary.
_ALIKE = {
    script: regex.compile(rf"[\p{{Script={script}}}&&\p{{L}}]", regex.VERSION1)
    for script in ("Latin", "Cyrillic", "Greek", "Armenian", "Cherokee", "Coptic")
}


def why_reserved(subject: str, words: Iterable[str] = ()) -> str:
    """Why a subject is reserved; "" if it is not.

    Args:
        subject: as the correction gives it.
        words: further reserved names.

    >>> why_reserved("Of"), why_reserved("Oslo")
    ('is a function word', '')
    """
    name = name_of(subject)
    words_of_name = [token for token in name if _HAS_CONTENT.search(token)]
    if not words_of_name or not _HAS_CONTENT.search(subject):
        return "has neither letter nor number"
    if identity(subject) in map(identity, words):
        return "is reserved by the policy"
    if subject in _ACRONYMS:
        return ""
    if _is_function_word(name, words_of_name, subject):
        return "is a function word"
    if len(words_of_name) == 1 and _SINGLE.fullmatch(words_of_name[0]) and not _NAMING_SIGNS & set(name):
        return "is a single letter or digit"
    return ""


def why_mixed(name: str) -> str:
    """Why a name may be taken for another one: a word with letters of several such alphabets; "" if none.

    A name that is wholly in one alphabet is another name, even if it looks like one in Latin letters.

    >>> why_mixed("\u0410pple"), why_mixed("Apple"), why_mixed("\u0410\u043d\u043d\u0430")
    ('mixes Latin and Cyrillic letters in one word', '', '')
    """
    if name.isascii():
        return ""
    for _, start, end in tokens(name):  # as written: folding makes a Greek letter of the micro sign
        found = [script for script, letter in _ALIKE.items() if letter.search(name, start, end)]
        if len(found) > 1:
            return f"mixes {' and '.join(found)} letters in one word"
    return ""


def _is_function_word(name: tuple[str, ...], words: list[str], subject: str) -> bool:
    """Whether it is one function word, several connecting ones, or several of any kind without a capital."""
    if " ".join(words) in _RESERVED or " ".join(name) in _RESERVED:
        return True
    if all(word in _CONNECTING for word in words):
        return True
    return not any(letter.isupper() for letter in subject) and all(word in _RESERVED for word in words)
