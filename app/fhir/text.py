"""How text is compared in a string search: without case, accents, punctuation or spare spaces.

https://hl7.org/fhir/R4/search.html#string. A dash counts as a space, so that a double-barrelled name is found
either way; all other punctuation is left out.
"""

from __future__ import annotations

import unicodedata

_ASCII = {
    code: (" " if chr(code) == "-" or not chr(code).isprintable() else None)
    for code in range(128)
    if not chr(code).isalnum() and chr(code) != " "
}


def normalise(text: str) -> str:
    """`text` as it is kept and compared. Idempotent; empty where nothing is left to compare."""
    if text.isascii():
        return " ".join(text.lower().translate(_ASCII).split())
    # Folding can make what decomposes again, and the other way round; two rounds reach the fixed point.
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    kept = []
    for letter in unicodedata.normalize("NFKD", text):
        category = unicodedata.category(letter)
        if category[0] in "LN":
            kept.append(letter)
        elif category[0] in "ZC" or category == "Pd":
            kept.append(" ")
    return " ".join("".join(kept).split())
