"""Reading a DICOM dataset that may be wrong in any element: each unreadable one is left out with a note.

Text is as PS3.5 says, decoded by (0008,0005); values are trimmed, and control characters removed, as FHIR strings
allow none.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
SPACES = re.compile(r"\s+")
UID = re.compile(r"\d+(\.\d+)*\Z", re.ASCII)
UNSIGNED_MAX = 2_147_483_647


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something in an image that could not be carried over: the element's keyword and the reason, without its value."""

    element: str
    reason: str


@lru_cache(maxsize=256)
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def clean(value: Any) -> str | None:
    """`value` as a FHIR string, or None when nothing is left of it."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    text = SPACES.sub(" ", CONTROLS.sub("", text)).strip()
    return text or None


def is_uid(text: str) -> bool:
    """Digits and single dots, at most 64 characters. Leading zeros, which real archives write, are let through."""
    return len(text) <= 64 and UID.match(text) is not None


@dataclass
class Reader:
    """Access by keyword to a dataset; what is wrong is collected in `notes`."""

    dataset: Dataset
    notes: list[Note] = field(default_factory=list)

    def note(self, element: str, reason: str) -> None:
        found = Note(element, reason)
        if found not in self.notes:
            self.notes.append(found)

    def value(self, keyword: str) -> Any:
        """The element's value as pydicom has it; None when absent, empty or unreadable."""
        tag = _tag(keyword)
        if tag not in self.dataset:
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = self.dataset[tag].value
            except Exception:  # pydicom raises whatever its converters meet: any of it means an unreadable element
                self.note(keyword, "could not be read; left out")
                return None
        if any("encoding" in str(warning.message) or "decode" in str(warning.message) for warning in caught):
            self.note(keyword, "does not fit the stated character set; unreadable characters were replaced")
        if found is None or (hasattr(found, "__len__") and len(found) == 0):
            return None
        return found

    def values(self, keyword: str) -> list[Any]:
        """All values of a multi-valued element."""
        found = self.value(keyword)
        if found is None:
            return []
        return list(found) if isinstance(found, MultiValue | list) else [found]

    def text(self, keyword: str) -> str | None:
        """The first value, as text."""
        found = self.values(keyword)
        if len(found) > 1:
            self.note(keyword, "has several values where one was expected; the first was taken")
        return clean(found[0]) if found else None

    def uid(self, keyword: str) -> str | None:
        """A unique identifier; None when absent. Raises ValueError when it is not one."""
        found = self.values(keyword)
        text = clean(found[0]) if found else None
        if text is None:
            return None
        if len(found) > 1 or not is_uid(text):
            raise ValueError(f"{keyword} is not a uid")
        return text

    def unsigned(self, keyword: str) -> int | None:
        """An IS value that fits FHIR's unsignedInt; anything else is noted and left out."""
        found = self.text(keyword)
        if found is None:
            return None
        try:
            number = int(found)
        except ValueError:
            self.note(keyword, "is not a whole number; left out")
            return None
        if not 0 <= number <= UNSIGNED_MAX:
            self.note(keyword, "is negative or above 2147483647, which FHIR does not allow; left out")
            return None
        return number

    def items(self, keyword: str) -> Iterator[Reader]:
        """The items of a sequence, each as a Reader that notes into this one."""
        found = self.value(keyword)
        if found is None:
            return
        if not isinstance(found, DicomSequence):
            self.note(keyword, "is not a sequence; left out")
            return
        for item in found:
            yield Reader(item, self.notes)
