"""In which letters a text is written, and in which language its commonest words are."""

import re
import unicodedata
from collections import Counter

# A dozen of the commonest words of each: enough to tell a text of a page, too few to tell dialects.
_COMMON = {
    "English": "the of and to in that was his with it for as",
    "German": "der die und das nicht ist ich zu den ein mit sich",
    "French": "de la le et les des que une dans est pas qui",
    "Spanish": "de la que el en los las una por con para del",
    "Portuguese": "de que não uma com os para mais como dos ao foi",
    "Italian": "di che il la non per una del sono più della gli",
    "Dutch": "de het een van en dat niet zijn met op te ik",
    "Turkish": "bir ve bu da de için çok ne gibi daha olan ile",
    "Polish": "się nie na że jest do jak ale tak co był od",
    "Swedish": "och att det som en på är av för med den inte",
    "Finnish": "ja on ei että se oli hän mutta kun ole niin myös",
    "Russian": "и в не на что он как я с это его по",
    "Ukrainian": "і в не на що він як з це його та до",
    "Greek": "και το να του η της με που την από για είναι",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_LEAST_SHARE = 0.04  # of a text's words that are among the commonest of its language
_LEAST_LEAD = 1.3  # times the share of the next language
_SCRIPTS = {
    "CJK": "Chinese characters",
    "HIRAGANA": "Japanese kana",
    "KATAKANA": "Japanese kana",
    "HANGUL": "Korean letters",
}
_SMALL_SHARE = 0.02  # of the letters, below which a script is not named


def describe_language(sample: str) -> str:
    """Say in which letters a text is and, where its words tell, in which language: 'Latin letters, by its commonest
    words English'. 'no letters' of a text without any.
    """
    scripts = _scripts(sample)
    if not scripts:
        return "no letters"
    letters = " and ".join(scripts)
    language = guess_language(sample)
    return f"{letters}, by its commonest words {language}" if language else letters


def guess_language(sample: str) -> str:
    """Name the language whose commonest words a text has most of; '' where none stands out."""
    words = Counter(re.findall(r"\w+", sample.casefold()))
    total = words.total()
    shares = sorted(
        ((sum(words[word] for word in common) / max(total, 1), language) for language, common in _WORDS.items()),
        reverse=True,
    )
    (best, language), (second, _) = shares[:2]
    return language if best >= _LEAST_SHARE and best >= _LEAST_LEAD * second else ""


def _scripts(sample: str) -> list[str]:
    """Name the scripts of a text's letters, the commonest first."""
    found = Counter[str]()
    for char, n in Counter(sample).items():
        if char.isalpha():
            script = unicodedata.name(char, "UNKNOWN").split()[0].partition("-")[0]
            found[_SCRIPTS.get(script, f"{script.title()} letters")] += n
    return [name for name, n in found.most_common(3) if n >= _SMALL_SHARE * found.total()]
