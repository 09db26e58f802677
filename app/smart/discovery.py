"""What the authorization server says of itself.

https://hl7.org/fhir/smart-app-launch/conformance.html, https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from typing import Any

from app.config import Settings
from app.fhir.imaging_access import CAPABILITY, MODES
from app.smart.assertions import ALGORITHMS
from app.smart.clients import METHODS
from app.smart.keys import IDENTITY_ALGORITHM
from app.smart.server import GRANTS

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
    CAPABILITY,
    *MODES,
)
SCOPES = (
    "openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "launch/imagingstudy",
    "offline_access", "online_access", "patient/*.rs", "patient/ImagingStudy.rs", "patient/DiagnosticReport.rs",
    "patient/Endpoint.rs", "patient/Patient.rs", "user/*.rs", "user/ImagingStudy.rs", "system/*.cruds", "system/*.rs",
    "system/ImagingStudy.rs", "system/Endpoint.rs",
)  # fmt: skip


def _common(settings: Settings) -> dict[str, Any]:
    origin = settings.origin
    return {
        "issuer": origin,
        "jwks_uri": f"{origin}/auth/jwks",
        "authorization_endpoint": f"{origin}/auth/authorize",
        "token_endpoint": f"{origin}/auth/token",
        "userinfo_endpoint": f"{origin}/auth/userinfo",
        "introspection_endpoint": f"{origin}/auth/introspect",
        "revocation_endpoint": f"{origin}/auth/revoke",
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": list(SCOPES),
        "code_challenge_methods_supported": ["S256"],
    }


def smart_configuration(settings: Settings) -> dict[str, Any]:
    """`.well-known/smart-configuration`. The imaging endpoint of SMART Imaging Access is this one."""
    imaging = {"url": settings.base_url, "capabilities": [CAPABILITY, *MODES]}
    return _common(settings) | {"capabilities": list(CAPABILITIES), "associated_endpoints": [imaging]}


def openid_configuration(settings: Settings) -> dict[str, Any]:
    """`.well-known/openid-configuration`."""
    return _common(settings) | {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [IDENTITY_ALGORITHM],
        "claims_supported": ["sub", "fhirUser", "profile", "name", "auth_time", "acr", "nonce"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
