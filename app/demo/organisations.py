"""The fictional trusts with their sites, archives and clinicians."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from app.demo.naming import STAFF, Resource, coding, concept, reference
from app.fhir.identifier import ODS_ORGANISATION, ODS_SITE
from app.fhir.named import LOOPBACK
from app.ingest.source import Source, of_organisation

ENDPOINT_HOST = "https://imaging-registry.example/fhir/StructureDefinition/registry-endpoint-host"
DOCTOR = coding("practitioner-role", "doctor")
ROLE_SYSTEM = "https://fhir.nhs.uk/CodeSystem/ODSAPI-OrganizationRole"


@dataclass(frozen=True, slots=True)
class Trust:
    id: str
    ods: str
    name: str
    sites: tuple[tuple[str, str, str], ...]  # id, ODS site code, name

    @property
    def reference(self) -> str:
        return f"Organization/{self.id}"

    @property
    def endpoint(self) -> str:
        return f"Endpoint/{self.id}-archive"

    @property
    def source(self) -> Source:
        return of_organisation(self.endpoint, self.reference, self.ods)


ALDERBROOK = Trust(
    "alderbrook",
    "ZA1",
    "Alderbrook Hospitals Trust (fictional)",
    (
        ("alderbrook-general", "ZA101", "Alderbrook General Hospital (fictional)"),
        ("alderbrook-hill", "ZA102", "Alderbrook Hill Clinic (fictional)"),
    ),
)
BIRCHWATER = Trust(
    "birchwater",
    "ZB1",
    "Birchwater Hospitals Trust (fictional)",
    (
        ("birchwater-infirmary", "ZB101", "Birchwater Infirmary (fictional)"),
        ("birchwater-quay", "ZB102", "Birchwater Quay Scanning Centre (fictional)"),
    ),
)
CEDARHOLME = Trust(
    "cedarholme",
    "ZC1",
    "Cedarholme Specialist Trust (fictional)",
    (
        ("cedarholme-institute", "ZC101", "Cedarholme Institute (fictional)"),
        ("cedarholme-green", "ZC102", "Cedarholme Green Day Unit (fictional)"),
    ),
)
TRUSTS = (ALDERBROOK, BIRCHWATER, CEDARHOLME)

# id, given name, family name, title, trust, what they do
STAFF_MEMBERS = (
    ("dr-avocet", "Avocet", "Example", "Dr", ALDERBROOK, "Consultant neurologist"),
    ("dr-bittern", "Bittern", "Example", "Dr", ALDERBROOK, "Consultant radiologist"),
    ("clerk-dunlin", "Dunlin", "Example", "Mx", ALDERBROOK, "Imaging coordinator"),
    ("ig-wren", "Wren", "Example", "Mx", ALDERBROOK, "Privacy officer"),
    ("dr-curlew", "Curlew", "Example", "Dr", BIRCHWATER, "Consultant orthopaedic surgeon"),
    ("dr-dotterel", "Dotterel", "Example", "Dr", BIRCHWATER, "Emergency physician"),
    ("dr-egret", "Egret", "Example", "Dr", CEDARHOLME, "Consultant neuroradiologist"),
    ("dr-fulmar", "Fulmar", "Example", "Dr", CEDARHOLME, "Consultant oncologist"),
)


def organisations() -> list[Resource]:
    """The region, its trusts and their sites."""
    found: list[Resource] = [
        {
            "resourceType": "Organization",
            "id": "threewoods",
            "identifier": [{"system": ODS_ORGANISATION, "value": "ZQ1"}],
            "active": True,
            "type": [concept(ROLE_SYSTEM, "RO261", "STRATEGIC PARTNERSHIP")],
            "name": "Threewoods Integrated Care Board (fictional)",
        }
    ]
    for trust in TRUSTS:
        found.append(
            {
                "resourceType": "Organization",
                "id": trust.id,
                "extension": [{"url": ENDPOINT_HOST, "valueString": f"images.{trust.id}.example"}],
                "identifier": [{"system": ODS_ORGANISATION, "value": trust.ods}],
                "active": True,
                "type": [concept(ROLE_SYSTEM, "RO197", "NHS TRUST")],
                "name": trust.name,
                "partOf": reference("Organization/threewoods"),
            }
        )
        for id, code, name in trust.sites:
            found.append(
                {
                    "resourceType": "Organization",
                    "id": id,
                    "identifier": [{"system": ODS_SITE, "value": code}],
                    "active": True,
                    "type": [concept(ROLE_SYSTEM, "RO198", "NHS TRUST SITE")],
                    "name": name,
                    "partOf": reference(trust.reference),
                }
            )
    return found


def endpoints(origin: str = "") -> list[Resource]:
    """Each trust's archive: behind the proxy of the server at `origin`, where that is on this machine; else at an address
    that leads nowhere, for `.example` is reserved for that."""
    here = urlsplit(origin).hostname in LOOPBACK
    return [
        {
            "resourceType": "Endpoint",
            "id": f"{trust.id}-archive",
            "extension": [
                {
                    "url": "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token",
                    "valueBoolean": True,
                }
            ],
            "status": "active",
            "connectionType": coding("endpoint-connection-type", "dicom-wado-rs", "DICOM WADO-RS"),
            "name": f"{trust.name.split()[0]} image archive",
            "managingOrganization": reference(trust.reference),
            "payloadType": [{"text": "DICOM WADO-RS"}],
            "payloadMimeType": ["application/dicom"],
            "address": f"{origin}/archive/proxy/{trust.id}-archive"
            if here
            else f"https://images.{trust.id}.example/dicom-web",
        }
        for trust in TRUSTS
    ]


def archives_file(port: int, password_file: str) -> str:
    """What REGISTRY_ARCHIVES_FILE says of the demo's archives, which one process serves on `port` of this machine."""
    return "".join(
        f'[[archive]]\nendpoint = "{trust.id}-archive"\naddress = "http://127.0.0.1:{port}/{trust.id}-archive"\n'
        f'username = "registry"\npassword_file = "{password_file}"\n'
        for trust in TRUSTS
    )


def staff() -> list[Resource]:
    """Practitioners and the roles in which they work."""
    found: list[Resource] = []
    for number, (id, given, family, title, trust, duty) in enumerate(STAFF_MEMBERS, start=1):
        name = {
            "use": "official",
            "text": f"{title} {given} {family}",
            "family": family,
            "given": [given],
            "prefix": [title],
        }
        found.append(
            {
                "resourceType": "Practitioner",
                "id": id,
                "identifier": [{"system": STAFF, "value": f"5550000{number:05d}"}],
                "active": True,
                "name": [name],
            }
        )
        found.append(
            {
                "resourceType": "PractitionerRole",
                "id": f"{id}-role",
                "active": True,
                "practitioner": reference(f"Practitioner/{id}"),
                "organization": reference(trust.reference),
                "code": [{"text": duty} | ({"coding": [DOCTOR]} if title == "Dr" else {})],
            }
        )
    return found
