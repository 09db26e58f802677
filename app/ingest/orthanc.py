"""Orthanc: its change feed, its studies, and what it no longer has.

https://orthanc.uclouvain.be/book/users/rest.html. `/changes` numbers what happened; `StableStudy` says that no more
images are coming. Deletions are not in the feed, and even remove older entries from it, so what is gone is found by
comparing lists (`gone`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from app.ingest.http import Unavailable, Unreadable, get_json, post_text, understood
from app.ingest.mapping import TAGS

PAGE = 100
_TEXTUAL = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT"
TEXT_VRS = frozenset(_TEXTUAL.split())
LISTED = frozenset(tag_for_keyword(str(keyword)) for keyword in TAGS)


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of the feed: the Orthanc ids of studies that became stable, and where the next page starts."""

    studies: tuple[str, ...]
    last: int
    done: bool


class Orthanc:
    """An Orthanc server's REST API at `url`."""

    def __init__(self, url: str, http: requests.Session) -> None:
        self.url = url
        self.http = http

    def changes(self, since: int) -> Changes:
        """The page after change number `since`."""
        page = self._required(f"{self.url}/changes", {"since": since, "limit": PAGE})
        with understood():
            stable = [str(one["ID"]) for one in page["Changes"] if one["ChangeType"] == "StableStudy"]
            last, done = int(page["Last"]), bool(page["Done"])
        if last <= since and not done:
            raise Unreadable("the archive's change feed does not go on; its next page was expected")
        return Changes(tuple(dict.fromkeys(stable)), last, done)

    def newest(self) -> int:
        """The number of the newest change. A number below one already read means that the database is another."""
        page = self._required(f"{self.url}/changes", {"last": ""})
        with understood():
            return int(page["Last"])

    def studies(self) -> Iterator[tuple[str, str]]:
        """Orthanc id and study UID of every study."""
        seen: set[str] = set()
        while page := self._required(f"{self.url}/studies", {"since": len(seen), "limit": PAGE, "expand": ""}):
            with understood():
                found = [(str(one["ID"]), str(one["MainDicomTags"]["StudyInstanceUID"])) for one in page]
            if all(id in seen for id, _ in found):
                raise Unreadable("the archive lists the same studies again; its next page was expected")
            yield from (one for one in found if one[0] not in seen)
            seen |= {id for id, _ in found}

    def gone(self, study_uid: str) -> bool:
        """Whether there is no study with this UID. The listing alone is no proof: it shifts while it is read."""
        found = post_text(self.http, f"{self.url}/tools/lookup", study_uid)
        if not isinstance(found, list):
            raise Unreadable("the archive's answer to a look-up is not a list")
        with understood():
            return not any(one.get("Type") == "Study" for one in found)

    def instances(self, id: str) -> int | None:
        """How many instances a study has; None when it is gone."""
        found = get_json(self.http, f"{self.url}/studies/{quote(id, safe='')}/statistics")
        with understood():
            return None if found is None else int(found["CountInstances"])

    def datasets(self, id: str) -> list[Dataset | None] | None:
        """Every instance of a study, the listed elements alone, None for one that cannot be read; None when the study
        is gone."""
        found = get_json(self.http, f"{self.url}/studies/{quote(id, safe='')}/instances-tags")
        with understood():
            return None if found is None else [_read(tags) for _, tags in sorted(found.items())]

    def _required(self, url: str, params: dict[str, Any]) -> Any:
        found = get_json(self.http, url, params)
        if found is None:
            raise Unavailable("the archive does not know the address; Orthanc's REST API was expected")
        return found


def _read(tags: Any) -> Dataset | None:
    try:
        return dataset(tags)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def dataset(tags: dict[str, Any]) -> Dataset:
    """Orthanc's JSON of one instance as a Dataset. Orthanc has decoded the text already."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    _fill(made, tags, top=True)
    return made


def _fill(made: Dataset, tags: dict[str, Any], *, top: bool) -> None:
    for written, element in tags.items():
        tag = Tag(int(written.replace(",", ""), 16))
        if tag.is_private or (top and tag not in LISTED) or tag == 0x00080005:
            continue
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            continue
        if element["Type"] == "Sequence":
            items = []
            for one in element["Value"]:
                item = Dataset()
                _fill(item, one, top=False)
                items.append(item)
            made.add_new(tag, "SQ", items)
        elif element["Type"] == "String" and vr in TEXT_VRS:
            # Numbers stay text here: what is wrong with them is for the mapping to say.
            made.add_new(tag, vr if vr in ("PN", "UI") else "LO", element["Value"])
