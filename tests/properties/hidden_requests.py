"""Requests at random, of every kind that the server answers, by somebody who knows every id and value that there is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

from app.fhir.query import Param
from app.fhir.registry import TYPES, followed, modifiers
from tests.properties.hidden_worlds import DOCTORS, PEOPLE, TRUSTS, World, ref
from tests.support.region import NHS, STUDY_UID, episode, patient, study

Pair = tuple[str, str]
ASKED = ("ImagingStudy", "ImagingStudy", "DiagnosticReport", "Patient", "Endpoint", "EpisodeOfCare", "ServiceRequest",
         "CareTeam", "Practitioner", "Organization", "Consent")  # fmt: skip
DATES = ("2026-02-01", "ge2026-01-01", "lt2020", "2019-12-31", "2019", "gt2026-03-01", "ne2026-02-01", "ap2026-02")
CODES = (
    "CT",
    "MR",
    "available",
    "cancelled",
    "entered-in-error",
    "active",
    "final",
    "stat",
    "18748-4",
    "dicom-wado-rs",
)
TEXTS = ("CT", "chest", "MR brain", "Demo", "Willow", "Trust", "nothing")


@dataclass(frozen=True)
class Ask:
    """One request. `body` is JSON, or a form where it is text."""

    method: str
    path: str
    body: Any = None
    headers: tuple[Pair, ...] = ()

    def brings(self, studies: set[str]) -> bool:
        """Whether it sends the content of one of these studies, which has its UID."""
        bodies = [entry.get("resource") for entry in self.body["entry"]] if self.path == "" else [self.body]
        sent = [one for one in bodies if isinstance(one, dict) and one.get("resourceType") == "ImagingStudy"]
        uids = {one["identifier"][0]["value"].rsplit(".", 1)[1] for one in sent}
        return any(f"ImagingStudy/s{number}" in studies for number in uids)

    @property
    def writes(self) -> bool:
        if self.path == "":
            return any(entry["request"]["method"] != "GET" for entry in self.body["entry"])
        return self.method != "GET" and not self.path.endswith("_search") and "$" not in self.path


@dataclass
class Asking:
    """Makes requests about one world."""

    chance: Random
    world: World

    def __post_init__(self) -> None:
        self.refs = [ref(one) for one in self.world.resources]
        self.studies = [one for one in self.refs if one.startswith(("ImagingStudy", "DiagnosticReport"))]

    def one(self) -> Ask:
        """Any request; those that could tell of a study the more often."""
        kinds = (self.search, self.search, self.search, self.search, self.read, self.versions, self.bundle, self.write,
                 self.operation)  # fmt: skip
        return self.chance.choice(kinds)()

    def _any(self, *of: Any) -> Any:
        return self.chance.choice(of)

    def _ref(self) -> str:
        return self.chance.choice(self.studies if self.chance.random() < 0.7 else self.refs)

    def read(self) -> Ask:
        shape = self._any("", "", "?_summary=true", "?_elements=identifier,subject", "?_summary=text")
        headers = self._any((), (), (("If-None-Match", 'W/"1"'),))
        return Ask("GET", f"/{self._ref()}{shape}", headers=headers)

    def versions(self) -> Ask:
        options = self._any("", "?_count=2", "?_since=2020-01-01", "?_since=2020-01-01&_count=3")
        one, kind = f"/{self._ref()}", f"/{self._any('ImagingStudy', 'DiagnosticReport', 'Patient')}"
        place = self._any("", kind, kind, one, one, one, one, one)
        if place.count("/") == 2 and self.chance.random() < 0.5:
            return Ask("GET", f"{place}/_history/{self._any(1, 2, 3)}")
        return Ask("GET", f"{place}/_history{options}")

    # Searches ---------------------------------------------------------------------------------------------------------

    def search(self) -> Ask:
        name, pairs = self._query()
        if name in ("ImagingStudy", "DiagnosticReport", "EpisodeOfCare") and self.chance.random() < 0.15:
            return Ask("GET", f"/Patient/{self._any(*PEOPLE)}/{name}?{urlencode(pairs)}")
        if self.chance.random() < 0.1:
            return Ask("POST", f"/{name}/_search", urlencode(pairs))
        return Ask("GET", f"/{name}?{urlencode(pairs)}")

    def _query(self) -> tuple[str, list[Pair]]:
        name = self.chance.choice(ASKED)
        pairs = [self._condition(name) for _ in range(self._any(0, 1, 1, 2))]
        if name in ("ImagingStudy", "DiagnosticReport") and self.chance.random() < 0.4:
            pairs.append(self._any(("patient", self._any(*PEOPLE)), ("patient.identifier", self._number())))
        shaping: tuple[Pair, ...] = (
            ("_total", "accurate"),
            ("_summary", self._any("count", "true", "data", "text", "false")),
            ("_count", self._any("0", "1", "2", "50")),
            ("_sort", self._any("", "-") + self._any("_lastUpdated", *self._sortable(name))),
            ("_elements", "identifier,status"),
            ("_include", self._any("x", *TYPES[name].includes)),
            ("_include:iterate", self._any("x", *TYPES[name].includes)),
            ("_revinclude", self._any("x", *TYPES[name].rev_includes)),
        )
        pairs += [pair for pair in self.chance.sample(shaping, self._any(0, 1, 2)) if pair[1] != "x"]
        return name, pairs

    def _sortable(self, name: str) -> list[str]:
        return [one.name for one in TYPES[name].params.values() if one.kind in ("date", "string", "number", "token")]

    def _condition(self, name: str, depth: int = 0) -> Pair:
        if depth == 0 and self.chance.random() < 0.2:
            return self._has(name)
        param = self.chance.choice(list(TYPES[name].params.values()))
        targets = followed(param)
        if targets and depth < 2 and self.chance.random() < 0.4:
            target = self.chance.choice(targets)
            inner, value = self._condition(target, depth + 1)
            return f"{param.name}:{target}.{inner}", value
        known = [one for one in modifiers(param) if one not in ("[type]", "in", "not-in", "of-type", "text")]
        if known and self.chance.random() < 0.25:
            modifier = self.chance.choice(known)
            if modifier == "missing":
                return f"{param.name}:missing", self._any("true", "false")
            if modifier == "identifier":
                return f"{param.name}:identifier", self._number()
            return f"{param.name}:{modifier}", self._value(param)
        return param.name, self._value(param)

    def _has(self, name: str) -> Pair:
        sources = [one.split(":") for one in TYPES[name].rev_includes]
        if not sources:
            return "_id", self._ref().split("/")[1]
        source, param = self.chance.choice(sources)
        inner, value = self._condition(source, 1)
        return f"_has:{source}:{param}:{inner}", value

    def _number(self) -> str:
        return f"{NHS}|99900000{18 + 8 * self.chance.randrange(len(PEOPLE))}"

    def _value(self, param: Param) -> str:
        n = self.chance.randrange(10)
        if param.name == "_id":
            return self._ref().split("/")[1]
        match param.kind:
            case "date":
                return self._any(*DATES)  # type: ignore[no-any-return]
            case "number":
                return self._any("1", "gt0", "2")  # type: ignore[no-any-return]
            case "string":
                return self._any(*TEXTS)  # type: ignore[no-any-return]
            case "uri":
                return "https://imaging-registry.example/fhir/policy/sharing"
            case "reference":
                return self._ref()
        if param.shape == "identifier":
            return self._any(
                f"urn:accession|ACC{n}", f"urn:dicom:uid|urn:oid:{STUDY_UID}.{n}", f"ACC{n}", self._number()
            )  # type: ignore[no-any-return]
        if param.shape == "uid":
            return f"{STUDY_UID}.{n}.1{self._any('', '.1')}"
        return self._any(*CODES)  # type: ignore[no-any-return]

    # Bundles, operations, writes --------------------------------------------------------------------------------------

    def bundle(self) -> Ask:
        entries = []
        for _ in range(self._any(1, 2, 3)):
            asked = self._any(self.read, self.search, self.versions)()
            if asked.method != "GET":
                continue
            entries.append({"request": {"method": "GET", "url": asked.path.lstrip("/")}})
        if self.chance.random() < 0.3:
            asked = self.write()
            if asked.method in ("PUT", "POST", "DELETE"):
                request = {"method": asked.method, "url": asked.path.lstrip("/")}
                if "If-None-Exist" in dict(asked.headers):
                    request["ifNoneExist"] = dict(asked.headers)["If-None-Exist"]
                entries.append({"request": request} | ({"resource": asked.body} if asked.body else {}))
        kind = self._any("batch", "transaction")
        return Ask("POST", "", {"resourceType": "Bundle", "type": kind, "entry": entries})

    def operation(self) -> Ask:
        """The operations; what they do not know of is asked for as often."""
        person, n = self._any(*PEOPLE), self.chance.randrange(10)
        number = {"system": NHS, "value": self._number().split("|")[1]}
        wanted = {"resourceType": "Patient", "identifier": [number], "birthDate": "1970-02-03"}
        named = self._any("patient=" + person, f"study=s{n}", "patient=" + self._number())
        return self._any(  # type: ignore[no-any-return]
            Ask(
                "GET",
                f"/Patient/{person}/$everything{self._any('', '?_count=2', '?_type=ImagingStudy,DiagnosticReport')}",
            ),
            Ask("GET", f"/Patient/{person}/$everything?_since=2020-01-01&start=2026-01-01"),
            Ask(
                "POST",
                "/Patient/$match",
                {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": wanted}]},
            ),
            Ask("GET", f"/ImagingStudy/s{n}/$explain-access"),
            Ask("GET", f"/ImagingStudy/$explain-access?{named}"),
        )

    def write(self) -> Ask:
        """Writes that name what the requester may not know of: by id, by condition, by reference."""
        n = self.chance.randrange(10)
        org, person = self._any(*TRUSTS), self._any(*PEOPLE)
        uid = f"{STUDY_UID}.{n}"
        number = f"identifier=urn:dicom:uid|urn:oid:{uid}"
        made = study(f"s{n}", uid, org, person) | {"basedOn": [{"reference": f"ServiceRequest/o{n % 3}"}]}
        free = {name: value for name, value in made.items() if name != "id"}
        report = {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "report"},
            "subject": {"reference": f"Patient/{person}"},
            "imagingStudy": [{"reference": self._any(f"ImagingStudy/s{n}", f"ImagingStudy?{number}")}],
            "performer": [{"reference": f"Organization/{org.lower()}"}],
        }
        cared = episode(f"e{n}", org, person)
        order = {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{person}"},
            "performer": [{"reference": f"Organization/{org.lower()}"}],
            "supportingInfo": [{"reference": f"ImagingStudy/s{n}"}],
        }
        patched = [{"op": "replace", "path": "/status", "value": "cancelled"}]
        json_patch = (("Content-Type", "application/json-patch+json"),)
        return self._any(  # type: ignore[no-any-return]
            Ask("PUT", f"/ImagingStudy/s{n}", made),
            Ask("PUT", f"/ImagingStudy?{number}", free),
            Ask("POST", "/ImagingStudy", free),
            Ask("POST", "/ImagingStudy", free, (("If-None-Exist", number),)),
            Ask("DELETE", f"/ImagingStudy/s{n}"),
            Ask("DELETE", f"/ImagingStudy?{number}"),
            Ask("PATCH", f"/ImagingStudy/s{n}", patched, json_patch),
            Ask("PATCH", f"/ImagingStudy?{number}", patched, json_patch),
            Ask("PUT", f"/ImagingStudy/s{n}", made, (("If-Match", 'W/"1"'),)),
            Ask("POST", "/DiagnosticReport", report),
            Ask("POST", "/ServiceRequest", order),
            Ask("PUT", f"/EpisodeOfCare/e{n}", cared),
            Ask("DELETE", f"/EpisodeOfCare/e{n}"),
            Ask("POST", "/Patient", patient() | {"id": "x"}, (("If-None-Exist", f"identifier={self._number()}"),)),
            Ask("DELETE", f"/Patient/{person}"),
            Ask("DELETE", f"/ServiceRequest/o{n % 3}"),
            Ask("DELETE", f"/Practitioner/{self._any(*DOCTORS)}"),
            Ask("POST", "/ImagingStudy/$validate", made),
        )
