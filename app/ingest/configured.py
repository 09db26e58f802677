"""The archives to harvest, from the TOML file that REGISTRY_SOURCES_FILE names.

[[source]]
name = "birchwater"
kind = "orthanc"                       # or "qido"
url = "https://pacs.internal.example"  # of Orthanc's REST API, or the DICOMweb base without /studies
endpoint = "Endpoint/birchwater-archive"
zone = "Europe/London"
patient_system = "https://…/patient"   # of the PatientIDs that the archive's organisation issues
accession_system = "https://…/accession"
username = "harvest"
password_file = "/run/secrets/birchwater"
days = 7                               # qido: so many last days are read again each time
from_day = "2020-01-01"                # qido: the first study date to read
reconcile_hours = 24                   # compare everything so often, so that deleted studies go
silent_minutes = 15                    # not read for so long, it counts as silent
[source.issuers.OLDPAS]                # other issuers that its images name
system = "https://…/old-patient"
ods = "ZB1"
[source.coding_schemes]
99LOCAL = "https://…/local-codes"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.ingest.source import Issuer, Source

KINDS = ("orthanc", "qido")


class Wrong(ValueError):
    """The file cannot be used; the text says what was wrong, then what was expected."""


@dataclass(frozen=True, slots=True)
class Configured:
    """One `[[source]]`. Elements left out are None, and are then taken from the registry's Endpoint."""

    name: str
    kind: str
    url: str
    endpoint: str
    zone: str = "Europe/London"
    patient_system: str | None = None
    accession_system: str | None = None
    study_id_system: str | None = None
    username: str | None = None
    password_file: str | None = None
    days: int = 7
    from_day: str = "2000-01-01"
    timeout: float = 30.0
    reconcile_hours: int = 24
    silent_minutes: int = 15
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    coding_schemes: Mapping[str, str] = field(default_factory=dict)

    def over(self, source: Source) -> Source:
        """`source` with what the file says instead."""
        return replace(
            source,
            zone=self.zone,
            issuers=self.issuers,
            coding_schemes=self.coding_schemes,
            patient_system=self.patient_system or source.patient_system,
            accession_system=self.accession_system or source.accession_system,
            study_id_system=self.study_id_system or source.study_id_system,
        )

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password, read when needed and kept nowhere."""
        if self.username is None or self.password_file is None:
            return None
        return self.username, Path(self.password_file).read_text(encoding="utf-8").strip()


NUMBERS = ("days", "timeout", "reconcile_hours", "silent_minutes")
TEXTS = ("zone", "patient_system", "accession_system", "study_id_system", "username", "password_file", "from_day")


def parse(text: str) -> list[Configured]:
    """The sources of a TOML text. Raises Wrong."""
    try:
        entries = tomllib.loads(text).get("source", [])
    except tomllib.TOMLDecodeError as error:
        raise Wrong(f"the sources file is not TOML: {error}") from None
    if not isinstance(entries, list):
        raise Wrong("source is not a list; [[source]] with two brackets was expected")
    found = [_entry(entry) for entry in entries]
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise Wrong("two sources have one name; each needs its own")
    return found


def load(path: str | None) -> list[Configured]:
    """The sources of a file; none where no file is configured."""
    return parse(Path(path).read_text(encoding="utf-8")) if path else []


def _entry(entry: Any) -> Configured:
    if not isinstance(entry, dict):
        raise Wrong("a source is not a table; [[source]] was expected")
    for name in ("name", "kind", "url", "endpoint"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise Wrong(f"a source has no {name}; name, kind, url and endpoint were expected")
    label = entry["name"]
    known = {"name", "kind", "url", "endpoint", "issuers", "coding_schemes", *NUMBERS, *TEXTS}
    if unknown := sorted(set(entry) - known):
        raise Wrong(
            f"source {label} has {unknown[0]}, which is not known; one of {', '.join(sorted(known))} was expected"
        )
    if entry["kind"] not in KINDS:
        raise Wrong(f"source {label} is of an unknown kind; orthanc or qido was expected")
    if not entry["url"].startswith(("https://", "http://")):
        raise Wrong(f"the url of source {label} is not one; https:// was expected")
    if any(not isinstance(entry[name], str) for name in TEXTS if name in entry):
        raise Wrong(f"source {label} has a value that is not text where text was expected")
    made = Configured(
        **{name: entry[name] for name in ("name", "kind", "endpoint", *TEXTS) if name in entry},
        url=entry["url"].rstrip("/"),
        days=_number(entry, "days", 7),
        timeout=float(_number(entry, "timeout", 30)),
        reconcile_hours=_number(entry, "reconcile_hours", 24),
        silent_minutes=_number(entry, "silent_minutes", 15),
        issuers={name: _issuer(label, name, one) for name, one in entry.get("issuers", {}).items()},
        coding_schemes={str(name): str(system) for name, system in entry.get("coding_schemes", {}).items()},
    )
    try:
        ZoneInfo(made.zone)
        date.fromisoformat(made.from_day)
    except (KeyError, ValueError):
        raise Wrong(f"source {label} has a zone or a from_day that does not exist") from None
    return made


def _number(entry: dict[str, Any], name: str, otherwise: int) -> int:
    value = entry.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Wrong(f"{name} of source {entry['name']} is not a whole number of at least 1")
    return value


def _issuer(label: str, name: str, entry: Any) -> Issuer:
    if not isinstance(entry, dict) or not isinstance(entry.get("system"), str):
        raise Wrong(f"issuer {name} of source {label} has no system; system, and ods where there is one, were expected")
    return Issuer(entry["system"], entry.get("ods"))
