"""The demo studies' reports, invented, as their sources hold them: registered here with an address, not with their text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from app.demo.naming import Resource, coding, concept, reference
from app.demo.organisations import Trust
from app.demo.people import BY_ID
from app.demo.studies import STUDIES

PDF = "application/pdf"
TEXT = "text/plain; charset=utf-8"
LOINC = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Report:
    """`study` is the id of a demo study."""

    study: str
    content_type: str
    title: str
    status: str
    issued: str
    by: str
    findings: str
    conclusion: str

    @property
    def id(self) -> str:
        return f"{self.study}-report"


REPORTS = (
    Report(
        "hazel-head",
        TEXT,
        "CT head report",
        "final",
        "2019-10-19T11:10:00+01:00",
        "dr-egret",
        "Technique: unenhanced axial sections through the brain.\n\n"
        "Findings: no acute haemorrhage. Grey-white differentiation is preserved. The ventricles and basal cisterns are of"
        " normal size for age. No mass effect and no midline shift. The visible paranasal sinuses and mastoid air cells are"
        " clear.",
        "No acute intracranial abnormality.",
    ),
    Report(
        "hazel-cervical-spine",
        PDF,
        "Cervical spine X-ray report",
        "final",
        "2001-01-02T09:30:00+00:00",
        "dr-curlew",
        "Lateral and both oblique views. Alignment is normal. Vertebral body heights are preserved. Mild narrowing of the"
        " C5/6 disc space with small marginal osteophytes. The neural foramina are patent. Prevertebral soft tissues are"
        " normal.",
        "Mild degenerative change at C5/6. No fracture.",
    ),
    Report(
        "willow-ct",
        TEXT,
        "CT report",
        "preliminary",
        "2001-01-01T21:00:00+00:00",
        "dr-dotterel",
        "Two series. This is a first reading, to be verified.",
        "No urgent finding. To be verified.",
    ),
    Report(
        "rowan-chest",
        TEXT,
        "Chest report",
        "final",
        "2012-03-05T11:00:00+00:00",
        "dr-dotterel",
        "Heart size normal. Lungs clear.",
        "Normal chest.",
    ),
    Report(
        "elder-chest",
        TEXT,
        "Chest X-ray report",
        "amended",
        "2008-05-06T10:15:00+01:00",
        "dr-dotterel",
        "Heart size at the upper limit of normal. Lungs clear. Amended: the side marker was wrong.",
        "No active lung disease.",
    ),
    Report(
        "birch-ct",
        TEXT,
        "CT report",
        "final",
        "2020-09-14T08:40:00+01:00",
        "dr-egret",
        "Fifty sections, made to test an archive. Nothing is to be seen in them.",
        "A test object.",
    ),
)
_OF = {study.id: study for study in STUDIES}


def reports(studies: list[Resource], endpoints: list[Resource]) -> list[Resource]:
    """A DiagnosticReport for each, of the trust that made the study, with the address at which its archive has it."""
    known = {study["id"]: study for study in studies}
    addresses = {f"Endpoint/{one['id']}": one["address"] for one in endpoints}
    return [_resource(one, known[one.study], addresses) for one in REPORTS]


def _resource(one: Report, study: Resource, addresses: dict[str, str]) -> Resource:
    made = _OF[one.study]
    return {
        "resourceType": "DiagnosticReport",
        "id": one.id,
        "status": one.status,
        "category": [{"coding": [coding("v2-0074", "RAD", "Radiology")]}],
        "code": concept(LOINC, "18748-4", "Diagnostic imaging study") | {"text": one.title},
        "subject": reference(BY_ID[made.patient].reference),
        **({"effectiveDateTime": study["started"]} if "started" in study else {}),
        "issued": one.issued,
        "performer": [reference(made.trust.reference)],
        "resultsInterpreter": [reference(f"Practitioner/{one.by}")],
        "imagingStudy": [reference(f"ImagingStudy/{one.study}")],
        "conclusion": one.conclusion,
        "presentedForm": [
            {
                "contentType": one.content_type.split(";")[0],
                "url": f"{addresses[made.trust.endpoint]}/reports/{one.id}",
                "title": one.title,
            }
        ],
    }


def document(id: str, trust: Trust | None) -> tuple[str, bytes] | None:
    """(content type, bytes) of the document of the report with this id, as that trust holds it; None where it does not."""
    one = next((one for one in REPORTS if one.id == id and _OF[one.study].trust is trust), None)
    if one is None:
        return None
    patient = BY_ID[_OF[one.study].patient]
    head = (
        f"{one.title}\n{patient.id.capitalize()} Demo, born {patient.born}, NHS number {patient.number}\nFictional.\n\n"
    )
    text = f"{head}{one.findings}\n\nConclusion: {one.conclusion}\n"
    return one.content_type, pdf(text) if one.content_type == PDF else text.encode()


def pdf(text: str) -> bytes:
    """A page of plain text (Latin letters) as PDF 1.4, ISO 32000-1: catalogue, pages, page, font, content."""
    lines = [line for part in text.splitlines() for line in (textwrap.wrap(part, 88) or [""])]
    shown = (line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines)
    content = "BT /F1 11 Tf 15 TL 60 780 Td " + " ".join(f"({line}) Tj T*" for line in shown) + " ET"
    objects = (
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 5 0 R/Resources<</Font<</F1 4 0 R>>>>>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"<</Length {len(content)}>>stream\n{content}\nendstream",
    )
    written, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(written))
        written += f"{number} 0 obj{body}endobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R>>\nstartxref\n{len(written)}\n%%EOF\n"
    return (written + trailer).encode("cp1252", "replace")
