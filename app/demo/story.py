"""What the landing page, the README and `make run` say of the demo region: its story, its clients, its log-ins.

The story patient is in the care of Alderbrook and has two studies, neither made there: one at Birchwater and one at
Cedarholme. A clinician at Alderbrook finds both with their archives, until the patient opts out.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.config import DEMO_VIEWER
from app.demo.people import BY_ID

STORY_PATIENT = "hazel"
STORY_NHS_NUMBER = BY_ID[STORY_PATIENT].number
STORY_STUDIES = ("hazel-cervical-spine", "hazel-head")
# The same care and the same kind of study, but this one has opted out already.
OPTED_OUT_PATIENT = "rowan"
OPTED_OUT_NHS_NUMBER = BY_ID[OPTED_OUT_PATIENT].number
STRANGER_PATIENT = "yew"
STRANGER_NHS_NUMBER = BY_ID[STRANGER_PATIENT].number

METADATA_PATH = "/metadata"
SEARCH_PATH = (
    f"/ImagingStudy?patient.identifier=https://fhir.nhs.uk/Id/nhs-number%7C{STORY_NHS_NUMBER}"
    "&_include=ImagingStudy:endpoint&_pretty=true"
)


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client registered by `demo load`. `ods` binds it to one organisation."""

    id: str
    name: str
    kind: str
    ods: str
    scope: str
    role: str = "system"
    purpose: str | None = "TREAT"
    redirects: tuple[str, ...] = ()  # below the server's own origin
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """Someone who can log in at /auth/authorize. The password is no secret: the region holds no real data."""

    username: str
    password: str
    shown: str
    role: str
    organisation: str | None = None  # ODS code
    practitioner: str | None = None
    patient: str | None = None


ARCHIVE_SCOPE = (
    "system/ImagingStudy.cruds system/DiagnosticReport.cruds system/Endpoint.cruds system/Patient.rs"
    " system/Organization.rs"
)
EPR_SCOPE = (
    "system/Patient.cruds system/EpisodeOfCare.cruds system/Appointment.cruds system/CareTeam.cruds"
    " system/ServiceRequest.cruds system/Subscription.cruds system/ImagingStudy.rs system/DiagnosticReport.rs"
    " system/Endpoint.rs system/Organization.rs system/Practitioner.rs"
)

SAMPLE_SCOPE = (
    "launch launch/patient launch/encounter launch/imagingstudy openid fhirUser profile offline_access online_access"
    " patient/*.rs user/*.rs"
)

VIEWER_SCOPE = "launch openid fhirUser profile online_access patient/*.rs user/*.rs"

CLIENTS = (
    DemoClient("demo-steward", "Region's steward", "steward", "ZQ1", "system/*.cruds", purpose=None),
    DemoClient("alderbrook-epr", "Alderbrook patient record", "backend", "ZA1", EPR_SCOPE),
    DemoClient("birchwater-epr", "Birchwater patient record", "backend", "ZB1", EPR_SCOPE),
    DemoClient("cedarholme-epr", "Cedarholme patient record", "backend", "ZC1", EPR_SCOPE),
    DemoClient("alderbrook-archive", "Alderbrook archive", "archive", "ZA1", ARCHIVE_SCOPE),
    DemoClient("birchwater-archive", "Birchwater archive", "archive", "ZB1", ARCHIVE_SCOPE),
    DemoClient("cedarholme-archive", "Cedarholme archive", "archive", "ZC1", ARCHIVE_SCOPE),
    # Of the region, so that people of each of its trusts may use it.
    DemoClient(
        "sample-app",
        "Sample app",
        "app",
        "ZQ1",
        SAMPLE_SCOPE,
        "clinician",
        redirects=("/sample",),
        launch="/sample/launch",
    ),
    DemoClient(
        DEMO_VIEWER,
        "Imaging viewer",
        "app",
        "ZQ1",
        VIEWER_SCOPE,
        "clinician",
        redirects=("/viewer",),
        launch="/viewer/launch",
    ),
)

STEWARD = "demo-steward"
STORY_CLIENT = "alderbrook-epr"

LOGINS = (
    DemoLogin(
        "clinician", "clinician", "Dr Avocet, clinician at Alderbrook", "clinician", "ZA1", "Practitioner/dr-avocet"
    ),
    DemoLogin("privacy", "privacy", "Mx Wren, privacy officer at Alderbrook", "privacy", "ZA1", "Practitioner/ig-wren"),
    DemoLogin("patient", "patient", "Hazel Demo, patient", "patient", patient="Patient/hazel"),
    DemoLogin(
        "clerk", "clerk", "Mx Dunlin, imaging coordinator at Alderbrook", "clerical", "ZA1", "Practitioner/clerk-dunlin"
    ),
)
SHOWN_LOGINS = LOGINS[:3]

SHOWN_CLIENTS = (
    ("alderbrook-epr", "the record system of the trust that treats the story's patient"),
    ("birchwater-archive", "an archive that holds one of the patient's studies"),
    ("demo-steward", "the region's steward, who records the opt-out and may read everything in the demo"),
)

TOKEN = '"Authorization: Bearer $(.venv/bin/flask --app wsgi token --client {client})"'
OPT_OUT = (
    '{"resourceType":"Parameters","parameter":['
    f'{{"name":"patient","valueReference":{{"reference":"Patient/{STORY_PATIENT}"}}}},'
    '{"name":"choice","valueCode":"opt-out"}]}'
)


def curls(base_url: str) -> tuple[str, str, str, str]:
    """What the server says of itself; the search that finds two studies; the opt-out; the search again is the second."""
    search = f"curl -sS -H {TOKEN.format(client=STORY_CLIENT)} '{base_url}{SEARCH_PATH}'"
    return (
        f"curl -sS {base_url}{METADATA_PATH}",
        search,
        f"curl -sS -H {TOKEN.format(client=STEWARD)} -H 'Content-Type: application/fhir+json'"
        f" -d '{OPT_OUT}' '{base_url}/Consent/$record-choice'",
        search,
    )
