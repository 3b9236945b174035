"""Texts without what the eye does not see: look-alike letters, full-width forms, marks, invisible characters.

The look-alikes are the letters that Unicode's ``confusables.txt`` (UTS 39, Unicode security mechanisms) maps to one
ASCII letter or digit, after NFKC and case folding. Copyright 1991-2025 Unicode, Inc., under the Unicode License V3
(https://www.unicode.org/license.txt).
"""

from __future__ import annotations

import re
import unicodedata

from tutelage.loaders.rows import normalised

_LOOK_ALIKES = {
    "2": "\u01a8\u01bb\u03e9\u14bf\ua645\ua75b",
    "3": "\u021d\u025c\u0292\u0437\u0499\u04e1\u2ccd\ua76b\U000118ca\U00016f3b",
    "4": "\u13ce\U000118cf",
    "5": "\U000118db",
    "6": "\u0431\u13ee\u2cd3\U000118d5",
    "7": "\U000104fa\U000118c6",
    "8": "\u0223\U0001031a",
    "9": "\u2ccb\ua76f\U000118cc\U000118d6",
    "a": "\u0251\u03b1\u0430\u13aa\u15c5\ua4ee\U000102a0\U00016f40",
    "b": (
        "\u0180\u0183\u0185\u0253\u03b2\u0432\u044c\u0463\u048d\u13cf\u13f4\u1472\u15af\u15f7\ua4d0\ua7b5"
        "\U00010282\U000102a1\U00010301"
    ),
    "c": "\u00e7\u023c\u0441\u04ab\u13df\u1d04\u2ca5\ua4da\U000102a2\U00010302\U0001043d\U0001051c",
    "d": "\u00f0\u0111\u018c\u0256\u0257\u0501\u13a0\u13e7\u146f\u15de\u15ea\ua4d2\ua4d3",
    "e": "\u0247\u03b5\u0435\u04bd\u13ac\u2d39\ua4f0\uab32\U00010286\U000118ce",
    "f": "\u0192\u03dd\u0584\u15b4\u1d6e\u1e9d\ua4dd\ua799\uab35\U00010287\U000102a5\U00010525\U000118c2",
    "g": "\u018d\u01e5\u0260\u0261\u050d\u0581\u13c0\u13f3\u1d83\ua4d6",
    "h": (
        "\u0127\u0266\u043d\u045b\u04a3\u04bb\u04c8\u04ca\u0570\u13bb\u13c2\u13f2\u157c\u2c68\u2c8f\ua4e7"
        "\ua695\U000102cf"
    ),
    "j": "\u0249\u029d\u03f3\u0458\u13ab\u148d\ua4d9",
    "k": "\u0199\u03ba\u043a\u049b\u049f\u13e6\u16d5\u2c6a\u2c95\ua4d7\ua741\U00010518",
    "l": (
        "\u0131\u0142\u019a\u01c0\u0268\u0269\u026a\u026b\u026d\u03b9\u0456\u04cf\u13a5\u13de\u14aa\u16c1"
        "\u1d7b\u1d7c\u2c93\u2cd1\u2d4f\ua4e1\ua4f2\ua647\U0001028a\U00010309\U00010443\U00010526"
        "\U000118c3\U000118d2\U00016f16\U00016f28"
    ),
    "m": "\u03bc\u03fb\u043c\u04ce\u13b7\u15f0\u16d6\u2c99\ua4df\U000102b0\U00010311",
    "n": "\u019e\u0272\u0273\u03b7\u0578\u057c\u1d70\u2c9b\ua4e0\U00010513",
    "o": (
        "\u00f8\u01ff\u0275\u03b8\u03bf\u03c3\u043e\u0473\u04e9\u0585\u0b20\u0d20\u101d\u10ff\u12d0\u13be"
        "\u13eb\u1d0f\u1d11\u2c9f\u2d31\u2d41\u2d54\ua4f3\ua74b\uab3d\uab3e\U00010292\U000102ab\U0001042c"
        "\U000104ea\U00010516\U000118c8\U000118d7"
    ),
    "p": "\u01a5\u03c1\u0440\u13e2\u146d\u1d7d\u2ca3\ua4d1\U00010295",
    "q": "\u02a0\u051b\u0563\u0566\u2d55",
    "r": (
        "\u024d\u027c\u027d\u0280\u0433\u0493\u13a1\u13b1\u13d2\u1587\u1d26\u1d72\u2c85\ua4e3\uab47\uab48"
        "\U000104dc\U00016f35"
    ),
    "s": "\u01bd\u0282\u0455\u057f\u13d5\u13da\u1d74\ua4e2\ua731\U00010296\U00010448\U000118c1\U00016f3a",
    "t": ("\u0167\u01ad\u0288\u03c4\u0442\u04ad\u13a2\u1d75\u2c66\u2ca7\ua4d4\U00010297\U000102b1\U00010315\U00016f0a"),
    "u": (
        "\u0289\u028b\u03c5\u057d\u1200\u13cc\u144c\u1d1c\u1d7e\ua4f4\ua79f\uab4e\uab52\U000104f6\U000118d8\U00016f42"
    ),
    "v": "\u03bd\u0475\u13d9\u142f\u1d20\u2d38\ua4e6\ua6df\U0001051d\U00011706\U000118c0\U00016f08",
    "w": "\u026f\u0461\u047d\u051d\u0561\u13b3\u13d4\u1d21\ua4ea\ua761\U0001170a\U0001170e\U0001170f",
    "x": ("\u03c7\u0445\u04b3\u1541\u157d\u16b7\u2cad\u2d5d\ua4eb\uab53\U00010290\U000102b4\U00010317\U00010527"),
    "y": (
        "\u01b4\u024f\u0263\u028f\u03b3\u0443\u04af\u04b1\u10e7\u13a9\u13bd\u1d8c\u1eff\u2ca9\ua4ec\uab5a"
        "\U000102b2\U000118dc\U00016f43"
    ),
    "z": "\u01b6\u0225\u0290\u03b6\u13c3\u1d22\u1d76\ua4dc\U000118c4\U000118c9",
}
_TABLE = str.maketrans(
    {one: to for to, letters in _LOOK_ALIKES.items() for one in letters} | {"i": "l", "1": "l", "0": "o"}
)

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""What Unicode calls default-ignorable: nothing is drawn."""


def folded(text: str) -> str:
    """The text as words of letters and digits, however they are written.

    Without case, punctuation, invisible characters and marks on letters; full-width and styled forms, and letters
    of other scripts that look like Latin ones, are as the plain ones. 0 and o are the same, and 1, i and l. A full
    stop is added, so that every text has n-grams.
    """
    plain = text if text.isascii() else _without_marks(_INVISIBLE.sub("", text))
    return folded_by_case(plain).translate(_TABLE)


def folded_by_case(text: str) -> str:
    """The text without case and punctuation, as up to 0.2.0; with the full stop."""
    plain = normalised(text).casefold()
    words = re.sub(r"[\W_]+", " ", plain).strip()
    return f"{words or plain} ."


def _without_marks(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKC", "".join(part for part in parts if not unicodedata.combining(part)))
