"""Fuzzy matching of strings."""

from __future__ import annotations

from stellar.language.library import stellar
from stellar.util.abbreviate import quote

_TAGS = """
    ar ar-AE ar-BH ar-DZ ar-EG ar-IQ ar-JO ar-KW ar-LB ar-LY ar-MA ar-OM ar-QA ar-SA ar-SD ar-SY ar-TN ar-YE be be-BY
    bg bg-BG ca ca-ES cs cs-CZ da da-DK de de-AT de-CH de-DE de-GR de-LU el el-CY el-GR en en-AU en-CA en-GB en-IE
    en-IN en-MT en-NZ en-PH en-SG en-US en-ZA es es-AR es-BO es-CL es-CO es-CR es-CU es-DO es-EC es-ES es-GT es-HN
    es-MX es-NI es-PA es-PE es-PR es-PY es-SV es-US es-UY es-VE et et-EE fi fi-FI fr fr-BE fr-CA fr-CH fr-FR fr-LU
    ga ga-IE he he-IL hi hi-IN hr hr-HR hu hu-HU id id-ID is is-IS it it-CH it-IT ja ja-JP
    ja-JP-u-ca-japanese-x-lvariant-JP ko ko-KR lt lt-LT lv lv-LV mk mk-MK ms ms-MY mt mt-MT nl nl-BE nl-NL nn-NO no
    no-NO pl pl-PL pt pt-BR pt-PT ro ro-RO ru ru-RU sk sk-SK sl sl-SI sq sq-AL sr sr-BA sr-CS sr-Latn sr-Latn-BA
    sr-Latn-ME sr-Latn-RS sr-ME sr-RS sv sv-SE th th-TH th-TH-u-nu-thai-x-lvariant-TH tr tr-TR uk uk-UA und vi vi-VN
    zh zh-CN zh-HK zh-SG zh-TW
"""
_LANGUAGES = tuple(_TAGS.split())
# Languages in which lowercase I has no dot
_DOTLESS = ("tr", "tr-TR")


@stellar("FUZZY_LANGS", pure=True)
def fuzzy_langs() -> list[str]:
    """Return the languages that FUZZY_SCORE supports.

    returns: List of language tags, such as `en` and `pt-BR`

        'en' in FUZZY_LANGS()  // true
        'tlh' in FUZZY_LANGS()  // false
    """
    return list(_LANGUAGES)


@stellar("FUZZY_SCORE", pure=True)
def fuzzy_score(term: object, query: object, lang: object) -> int:
    """Score how well a string matches a query. The query's characters are searched in order, ignoring case; adjacent
    matches score higher.

    term: The string
    query: The query
    lang: Language whose rules of lowercase apply; see FUZZY_LANGS
    returns: One point for each matching character, and two more if the previous character matched as well; 0 if an
        argument is not a string

        FUZZY_SCORE('metron', 'mtr', 'en')  // 5
        FUZZY_SCORE('Apache Software Foundation', 'asf', 'en')  // 3
        FUZZY_SCORE('metron', null, 'en')  // 0
        FUZZY_SCORE('metron', 'mtr', 'tlh')  // error
    """
    if not isinstance(term, str) or not isinstance(query, str) or not isinstance(lang, str):
        return 0
    if lang not in _LANGUAGES:
        raise ValueError(f"unknown language {quote(lang)}: expected one of FUZZY_LANGS()")
    string, score, at, last = _lower(term, lang), 0, 0, -2
    for character in _lower(query, lang):
        found = string.find(character, at)
        if found < 0:
            break
        score += 3 if found == last + 1 else 1
        last, at = found, found + 1
    return score


def _lower(string: str, language: str) -> str:
    if language in _DOTLESS:
        string = string.replace("İ", "i").replace("I", "ı")
    return string.lower()
