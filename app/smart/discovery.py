"""What the authorization server says of itself.

https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from __future__ import annotations

from typing import Any

from app.config import Settings


def smart_configuration(settings: Settings) -> dict[str, Any]:
    """`.well-known/smart-configuration`."""
    origin = settings.origin
    return {
        "issuer": origin,
        "jwks_uri": f"{origin}/auth/jwks",
        "token_endpoint": f"{origin}/auth/token",
        "introspection_endpoint": f"{origin}/auth/introspect",
        "revocation_endpoint": f"{origin}/auth/revoke",
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.rs", "system/ImagingStudy.rs", "system/Endpoint.rs"],
        "capabilities": [
            "client-confidential-asymmetric",
            "client-confidential-symmetric",
            "permission-v1",
            "permission-v2",
        ],
    }
