"""SMART Imaging Access, Argonaut 0.1.0: what a server says of itself and of the addresses that it gives.

http://fhir.org/argonaut/smart-imaging
"""

from __future__ import annotations

from app.fhir.resource import dump, load

BASE = "http://fhir.org/argonaut/smart-imaging/"
CAPABILITY = "smart-imaging-access"
MODES = (f"{BASE}capabilities/app-launch", f"{BASE}capabilities/backend-services")
REQUIRES_TOKEN = f"{BASE}StructureDefinition/requires-access-token"

_REQUIRES = REQUIRES_TOKEN.encode()
_STATED = b'{"url":"%b","valueBoolean":true}' % _REQUIRES


def requiring_token(content: bytes) -> bytes:
    """A WADO-RS Endpoint's bytes with the statement that its address wants the requester's own access token, as every
    archive of the region does; unchanged where it states the one or the other itself, or is of another kind."""
    if _REQUIRES in content or b'"dicom-wado-rs"' not in content:
        return content
    if b'"extension"' not in content:
        return b'%b,"extension":[%b]}' % (content[:-1], _STATED)
    endpoint = load(content)
    endpoint["extension"] = [*endpoint.get("extension", ()), {"url": REQUIRES_TOKEN, "valueBoolean": True}]
    return dump(endpoint)
