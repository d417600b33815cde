"""Words that are no subject: a fact about "of" would answer for every sentence.

Names are compared as `naming` says, so neither case nor width nor an accent of typography gets around it.
"""

from __future__ import annotations

from collections.abc import Iterable

import regex

from guardedit.naming import identity, name_of


def _words(text: str) -> frozenset[str]:
    return frozenset(identity(word) for word in text.split())


#: English words that join other words.
_LINKING = _words(
    "a an the of in on at by to from for with without into onto upon over under above below between among "
    "through during before after since until against about around near off out up down as than like per "
    "via and or but nor so yet if because although though while whereas unless whether am is are was were "
    "be been being do does did done has have had having can could may might must shall should will would "
    "not no n't 's 're 've 'll 'd"
)
#: English words that stand for a name, or ask for one.
_POINTING = _words(
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
#: The commonest of other languages. Left out are those that are well-known names too: Seine, Como, Sur.
_OTHERS = _words(
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
_RESERVED = _LINKING | _POINTING | _OTHERS | _PARTICLES
#: Capital letters make these another word. What they cost where small letters stand is the operator's choice.
_ACRONYMS = frozenset({"US", "U.S.", "UN", "U.N."})
_SAYS_SOMETHING = regex.compile(
    r"[\p{L}\p{N}\p{Regional_Indicator}]"
    r"|[\p{Extended_Pictographic}--[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff]]",
    regex.VERSION1,
)
#: One letter of an alphabet or syllabary, or one digit, with its marks; no ideograph, no Korean syllable.
_SINGLE = regex.compile(r"[[\p{L}\p{Nd}]--[\p{Han}\p{Hangul}]]\p{M}*", regex.VERSION1)
#: Signs that make a name of a letter: C++, C#, F*.
_NAMING_SIGNS = frozenset("+#*")


def why_reserved(subject: str, words: Iterable[str] = ()) -> str:
    """Why a subject is no name; empty where it is one.

    Args:
        subject: as the correction gives it.
        words: further names that are reserved.

    >>> why_reserved("Of"), why_reserved("Oslo")
    ('is a word of every sentence', '')
    """
    if subject in _ACRONYMS:
        return ""
    name = name_of(subject)
    said = [token for token in name if _SAYS_SOMETHING.search(token)]
    if not said or not _SAYS_SOMETHING.search(subject):
        return "has neither letter nor number"
    if identity(subject) in map(identity, words):
        return "is reserved by the policy"
    if _function_word(name, said, subject):
        return "is a word of every sentence"
    if len(said) == 1 and _SINGLE.fullmatch(said[0]) and not _NAMING_SIGNS & set(name):
        return "is a single letter or digit"
    return ""


def _function_word(name: tuple[str, ...], said: list[str], subject: str) -> bool:
    """One such word; or several that only join others, or that nobody has written as a name."""
    if " ".join(said) in _RESERVED or " ".join(name) in _RESERVED:
        return True
    if all(word in _LINKING for word in said):
        return True
    return not any(letter.isupper() for letter in subject) and all(word in _RESERVED for word in said)
