"""Functions that are bound to the keys of constraints in `fhir_profiles/`: what FHIRPath cannot say, or not fast enough,
or not where. Each yields the places below a value at which its constraint is broken, "" for the value itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app.fhir.identifier import (
    DICOM_UID,
    NHS_NUMBER,
    ODS_ORGANISATION,
    ODS_SITE,
    OID,
    bare_uid,
    canonical_system,
    is_uid,
)
from app.fhir.identifiers import is_nhs_number, is_ods_code
from app.fhir.temporal import interval
from app.fhir.terminology import DCM, context_group

DEEPEST_PROVISION = 4
MOST_PROVISIONS = 1000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?\Z")
ACCESSION = ("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN")
ACQUISITION = 29  # the context group of modalities that make images, DICOM PS3.16


@dataclass(frozen=True, slots=True)
class Options:
    """What a region chooses. `check_digits`: an NHS number has a right check digit (some sandboxes hold others).
    `loopback`: an Endpoint may be on this machine, over http."""

    check_digits: bool = True
    loopback: bool = False


Broken = Callable[[Any, Options], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Function:
    """A bound function, the code of its issues and a code of the Spine's for them. `schema` says the same of the value
    as a JSON Schema where it can, so that what is right need not be looked at again."""

    broken: Broken
    code: str = "invariant"
    detail: str | None = None
    schema: Mapping[str, Any] | None = None


_ARCS = r"[0-2](?:\.(?:0|[1-9][0-9]*))+$"
_BARE = {"pattern": f"^{_ARCS}", "maxLength": 64}
_URN = {"pattern": f"^urn:oid:{_ARCS}", "maxLength": 72}
_SOP_CLASS = {"required": ["code"], "properties": {"system": {"const": "urn:ietf:rfc:3986"}, "code": _URN}}


def nhs_number(identifier: Any, options: Options) -> Iterator[str]:
    value = identifier.get("value")
    if identifier.get("system") != NHS_NUMBER or value is None:
        return
    if not isinstance(value, str) or not is_nhs_number(value, options.check_digits):
        yield ".value"


def ods_code(identifier: Any, options: Options) -> Iterator[str]:
    value = identifier.get("value")
    if identifier.get("system") in (ODS_ORGANISATION, ODS_SITE) and isinstance(value, str) and not is_ods_code(value):
        yield ".value"


def dicom_uid(identifier: Any, options: Options) -> Iterator[str]:
    value = identifier.get("value")
    if (
        identifier.get("system") == DICOM_UID
        and isinstance(value, str)
        and (not value.startswith(OID) or not is_uid(bare_uid(value)))
    ):
        yield ".value"


def misspelt_system(identifier: Any, options: Options) -> Iterator[str]:
    system = identifier.get("system")
    if system is not None and canonical_system(system) != system:
        yield ".system"


def _accession(identifier: Any) -> bool:
    codings = (identifier.get("type") or {}).get("coding") or ()
    return any((one.get("system"), one.get("code")) == ACCESSION for one in codings)


def accession_system(identifier: Any, options: Options) -> Iterator[str]:
    if _accession(identifier) and ("value" not in identifier or identifier.get("system") in (None, DICOM_UID)):
        yield ""


def accession_assigner(identifier: Any, options: Options) -> Iterator[str]:
    if _accession(identifier) and "assigner" not in identifier:
        yield ""


def uid(value: Any, options: Options) -> Iterator[str]:
    if not is_uid(bare_uid(str(value))):
        yield ""


def sop_class(coding: Any, options: Options) -> Iterator[str]:
    code = coding.get("code")
    if coding.get("system") != "urn:ietf:rfc:3986" or not isinstance(code, str):
        yield ""
    elif not code.startswith(OID) or not is_uid(bare_uid(code)):
        yield ".code"


def unique_uids(study: Any, options: Options) -> Iterator[str]:
    seen: set[str] = set()
    for number, series in enumerate(study.get("series") or ()):
        for place, one in (
            (f".series[{number}].uid", series.get("uid")),
            *(
                (f".series[{number}].instance[{position}].uid", instance.get("uid"))
                for position, instance in enumerate(series.get("instance") or ())
            ),
        ):
            text = bare_uid(str(one))
            if text in seen:
                yield place
            seen.add(text)


def series_count(study: Any, options: Options) -> Iterator[str]:
    stated, listed = study.get("numberOfSeries"), len(study.get("series") or ())
    if stated is not None and listed and stated != listed:
        yield ".numberOfSeries"


def instance_count(series: Any, options: Options) -> Iterator[str]:
    stated, listed = series.get("numberOfInstances"), len(series.get("instance") or ())
    if stated is not None and listed and stated != listed:
        yield ".numberOfInstances"


def study_instances(study: Any, options: Options) -> Iterator[str]:
    stated, series = study.get("numberOfInstances"), study.get("series") or ()
    stated_below = [one.get("numberOfInstances", len(one.get("instance") or ()) or None) for one in series]
    # What is no whole number there is told of by the schema.
    whole = bool(stated_below) and all(isinstance(one, int) for one in stated_below)
    if stated is not None and whole and stated != sum(stated_below):
        yield ".numberOfInstances"


def acquisition_modality(coding: Any, options: Options) -> Iterator[str]:
    code = coding.get("code")
    if coding.get("system") == DCM and not (isinstance(code, str) and (DCM, code) in context_group(ACQUISITION)):
        yield ""


def endpoint_address(endpoint: Any, options: Options) -> Iterator[str]:
    if "address" in endpoint and not followable(endpoint["address"], options.loopback):
        yield ".address"


def followable(address: Any, loopback: bool) -> bool:
    """Whether an address may be given to an app to follow: https, a host by name, no user name, query or fragment."""
    try:
        parts = urlsplit(str(address))
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.query or parts.fragment or "\\" in str(address):
        return False
    if loopback and host in LOOPBACK:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and not host.replace(".", "").isdigit() and ":" not in host and host not in LOOPBACK


def status_history(episode: Any, options: Options) -> Iterator[str]:
    latest = None
    for number, one in enumerate(episode.get("statusHistory") or ()):
        start = (one.get("period") or {}).get("start")
        if not isinstance(start, str):
            continue
        try:
            low = interval(start)[0]
        except ValueError:
            continue
        if latest is not None and low < latest:
            yield f".statusHistory[{number}].period.start"
        latest = low


def provisions(root: Any, place: str = "", depth: int = 1) -> Iterator[tuple[str, Any, int]]:
    """A provision and all inside it: (place, provision, depth), at most a few more than may be."""
    yield place, root, depth
    if depth <= DEEPEST_PROVISION:
        for number, one in enumerate(root.get("provision") or ()):
            yield from provisions(one, f"{place}.provision[{number}]", depth + 1)


def provision_depth(consent: Any, options: Options) -> Iterator[str]:
    for place, _, depth in provisions(consent.get("provision") or {}):
        if depth > DEEPEST_PROVISION:
            yield f".provision{place}"


def provision_count(consent: Any, options: Options) -> Iterator[str]:
    for number, _ in enumerate(provisions(consent.get("provision") or {}), start=1):
        if number > MOST_PROVISIONS:
            yield ".provision"
            return


def exception_type(provision: Any, options: Options) -> Iterator[str]:
    for number, one in enumerate(provision.get("provision") or ()):
        if one.get("type") is not None and one.get("type") == provision.get("type") and not one.get("provision"):
            yield f".provision[{number}].type"


def nested_type(provision: Any, options: Options) -> Iterator[str]:
    for number, one in enumerate(provision.get("provision") or ()):
        if "type" not in one:
            yield f".provision[{number}].type"


def modifiers(value: Any, options: Options, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "modifierExtension":
                yield f"{place}.{name}"
            elif isinstance(inner, (dict, list)):
                yield from modifiers(inner, options, f"{place}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from modifiers(inner, options, f"{place}[{number}]")


def held_patient(reference: Any, options: Options) -> Iterator[str]:
    text = reference.get("reference")
    if not isinstance(text, str) or not text.startswith("Patient/"):
        yield ".reference"


def told_here(reference: Any, options: Options) -> Iterator[str]:
    text = reference.get("reference")
    if isinstance(text, str) and ":" in text:
        yield ".reference"


def host(extension: Any, options: Options) -> Iterator[str]:
    if "valueString" in extension and not _HOST.match(str(extension["valueString"])):
        yield ""


FUNCTIONS: Mapping[str, Function] = {
    "reg-id-1": Function(nhs_number, "value", "INVALID_NHS_NUMBER"),
    "reg-id-2": Function(ods_code, "value"),
    "reg-id-3": Function(dicom_uid, "value"),
    "reg-id-4": Function(misspelt_system, "value"),
    "reg-img-1": Function(unique_uids),
    "reg-img-2": Function(series_count),
    "reg-img-3": Function(instance_count),
    "reg-img-4": Function(study_instances),
    "reg-img-5": Function(uid, "value", schema={"anyOf": [_BARE, _URN]}),
    "reg-img-6": Function(uid, "value", schema={"anyOf": [_BARE, _URN]}),
    "reg-img-7": Function(sop_class, "value", schema=_SOP_CLASS),
    "reg-img-8": Function(acquisition_modality, "code-invalid"),
    "reg-img-9": Function(accession_system),
    "reg-img-10": Function(accession_assigner),
    "reg-end-1": Function(endpoint_address, "value"),
    "reg-eoc-1": Function(status_history),
    "reg-con-2": Function(provision_depth),
    "reg-con-3": Function(provision_count, "too-costly"),
    "reg-con-4": Function(exception_type),
    "reg-con-8": Function(nested_type, "required"),
    "reg-con-5": Function(modifiers, "not-supported"),
    "reg-con-6": Function(held_patient, "value"),
    "reg-con-7": Function(told_here, "value"),
    "reg-host-1": Function(host, "value"),
}
