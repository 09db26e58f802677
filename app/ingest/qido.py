"""Archives by QIDO-RS and WADO-RS metadata: windows of study dates.

PS3.18 10.6 and 10.4.1.1.2. QIDO-RS cannot be asked what was modified, so the last days are read again each time, and a
study is fetched only when the archive's count of its instances is not the registry's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from app.ingest.http import TooMuch, Unavailable, Unreadable
from app.ingest.mapping import TAGS

PAGE = 200
WINDOW_DAYS = 31
YEAR = 366
ABSENT: list[dict[str, Any]] = []
LISTED = frozenset(f"{tag_for_keyword(str(keyword)):08X}" for keyword in [*TAGS, "ModalitiesInStudy"])
FIELDS = ["StudyDescription", "NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries", "ModalitiesInStudy"]


class Qido:
    """A DICOMweb server at `url` (its base, without /studies)."""

    def __init__(self, url: str, http: requests.Session) -> None:
        self.client = DICOMwebClient(url=url, session=http)
        # A round that fails is done again as a whole: waiting inside it holds up what else the archive has.
        self.client.set_http_retry_params(retry=False)

    def studies(self, first: date | None, last: date | None) -> Iterator[Dataset]:
        """The studies of these days, both included, at their own level; of all days and of none without them."""
        filters = {"StudyDate": f"{first:%Y%m%d}-{last:%Y%m%d}"} if first and last else None
        offset = 0
        seen: set[str] = set()
        while True:
            ask = partial(
                self.client.search_for_studies, search_filters=filters, fields=FIELDS, limit=PAGE, offset=offset
            )
            page = self._asked(ask)
            made = [dataset(one) for one in page]
            found = [(str(one.get("StudyInstanceUID", "")), one) for one in made]
            new = [one for uid, one in found if uid not in seen or not uid]
            if not page or (seen and not new):
                # An archive may give fewer than are asked for, so that only an empty page is the last one. One that
                # knows no offset gives the first again: of that nothing may be missing.
                if len(page) >= PAGE:
                    raise Unreadable("the archive lists the same studies again; its next page was expected")
                return
            yield from new
            seen |= {uid for uid, _ in found}
            offset += len(page)

    def gone(self, study_uid: str) -> bool:
        """Whether the archive has no study with this UID."""
        return not self._asked(
            lambda: self.client.search_for_studies(search_filters={"StudyInstanceUID": study_uid}, limit=1)
        )

    def datasets(self, study_uid: str) -> list[Dataset]:
        """Every instance of a study; none when the archive knows no metadata of it (404)."""
        found = self._asked(lambda: self.client.retrieve_study_metadata(study_uid), absent=True)
        if found is ABSENT:
            return []
        if not found:
            raise Unreadable("the archive described no instance of a study; metadata, or 404, was expected")
        return [dataset(one) for one in found]

    @staticmethod
    def _asked(ask: Callable[[], Any], *, absent: bool = False) -> list[dict[str, Any]]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ask()
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            # A search without a match is 204 or an empty list: 404 means that nobody is there to answer it.
            if status == 404 and absent:
                return ABSENT
            raise Unreadable(f"the archive answered {status}; 200 was expected") from None
        except TooMuch:
            raise Unreadable("the archive's answer is larger than is read, or does not end") from None
        except requests.JSONDecodeError:
            raise Unreadable("the archive's answer is not DICOM JSON") from None
        except requests.RequestException as error:
            raise Unavailable(f"the archive could not be reached ({type(error).__name__})") from None
        except (json.JSONDecodeError, ValueError, RuntimeError):
            raise Unreadable("the archive's answer is not DICOM JSON") from None
        return [one for one in found or [] if isinstance(one, dict)]


def dataset(tags: dict[str, Any]) -> Dataset:
    """DICOM JSON (PS3.18 annex F) as a Dataset of the listed elements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Dataset()
        for tag in sorted(LISTED & tags.keys()):
            try:
                made.update(Dataset.from_json({tag: tags[tag]}))
            except Exception:  # one unreadable element is not the end of the others
                continue
    return made


def windows(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The days from `first` to `last` in windows, the newest first: what is asked for most is there soonest. What lies
    more than a year back is asked for by the year."""
    newest = last
    while last >= first:
        days = WINDOW_DAYS if (newest - last).days < YEAR else YEAR
        start = max(first, last - timedelta(days=days - 1))
        yield start, last
        last = start - timedelta(days=1)
