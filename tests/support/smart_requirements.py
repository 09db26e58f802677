"""What SMART App Launch 2.2 asks of a server, in our words, numbered as the Inferno test kit numbers it; and what shows it.

`python -m tests.support.smart_requirements --write` makes tests/conformance/SMART.md from this list and the marks
`@pytest.mark.requirement("SMART 14", …)` of the tests.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS / "conformance" / "SMART.md"
SPECIFICATION = "https://hl7.org/fhir/smart-app-launch/STU2.2/"

REQUIREMENTS: dict[int, str] = {
    14: "PKCE with S256",
    15: "PKCE never with plain",
    16: "discovery may be read from every origin",
    17: "tokens and FHIR may be read from the origins of registered apps",
    18: "an app's addresses are registered",
    19: "apps may register themselves",
    24: "a registered app is given an id",
    30: "discovery document, as conformance has it",
    31: "the verifier is demanded and checked at the exchange",
    48: "authorization by GET",
    49: "authorization by POST",
    53: "a grant is told by a code",
    54: "a refusal is told by an error",
    56: "the code is sent by the browser to the registered address",
    57: "code is in the answer",
    58: "a code ends soon",
    59: "state is in the answer, unchanged",
    73: "the token answer is a JSON object with a token or a refusal",
    74: "access_token",
    75: "token_type Bearer",
    76: "expires_in",
    77: "an expired token is not taken",
    78: "scope in the token answer",
    79: "what is granted may differ from what was asked",
    80: "id_token where it was asked for",
    81: "refresh_token where it was asked for",
    82: "authorization_details",
    83: "context in the token answer",
    84: "parameters stand in the body",
    85: "tokens are of the characters that OAuth has",
    86: "Cache-Control no-store",
    87: "Pragma no-cache",
    88: "the server decides on expires_in",
    89: "the server decides on refresh tokens",
    91: "access tokens last an hour at most",
    92: "confidential clients may get longer ones",
    94: "resource server: not expired",
    95: "resource server: scope covers the request",
    96: "resource server: aud is its own base URL",
    99: "introspection",
    100: "online access lasts while the person is there",
    101: "offline access lasts without the person",
    102: "who may have offline access is the server's decision",
    103: "a refresh token is bound to its client",
    104: "a refresh token gives no more than was granted",
    109: "refresh without scope: the same scopes",
    110: "refresh: access_token",
    111: "refresh: token_type",
    112: "refresh: expires_in",
    113: "refresh: scope",
    114: "refresh: the scope is the original one",
    115: "refresh: the scope may be narrower",
    116: "refresh: refresh_token",
    118: "refresh: context",
    119: "policy holds beneath every scope",
    123: "create by update is covered by u",
    126: "permission-v1 is advertised",
    127: "v1 scopes are returned as v1",
    128: "v1 scopes mean rs, cud, cruds",
    129: "letters out of order may be rejected",
    130: "batch and transaction are judged entry by entry",
    134: "tokens do not grow too large",
    136: "patient scopes reach one patient",
    138: "patient scopes may leave out related resources",
    139: "behaviour with Patient.link is documented",
    140: "user scopes reach what the user may see",
    142: "system scopes reach what the client may see",
    144: "wildcards reach every type",
    145: "granted scopes may differ from requested ones",
    149: "context scopes lead to context parameters",
    154: "further context may be offered",
    159: "an unsupported role: the context without it",
    160: "an unsupported role: another role",
    163: "hints at a launch may be ignored",
    164: "a patient scope that is granted has a patient in context",
    165: "patient scopes without launch: refused, or launch/patient inferred",
    167: "standalone: the context asked for is given",
    168: "context asked for is in the token answer",
    169: "context stands beside the token as JSON",
    170: "patient: the id, to which patient scopes are bound",
    171: "encounter: the id",
    172: "fhirContext: other types",
    173: "need_patient_banner",
    174: "intent",
    175: "smart_style_url",
    176: "tenant",
    177: "requested types appear in fhirContext, but Patient and Encounter",
    178: "fhirContext items have a reference, canonical or identifier",
    179: "fhirContext: reference is relative",
    180: "fhirContext: several of a type",
    181: "fhirContext: canonical",
    182: "fhirContext: canonical with version",
    183: "fhirContext: identifier",
    184: "fhirContext: type",
    185: "fhirContext: type beside identifier or canonical",
    186: "fhirContext: role",
    187: "fhirContext: relative roles",
    188: "fhirContext: absolute roles",
    189: "fhirContext: role may be left out",
    190: "fhirContext: role is not empty",
    192: "fhirContext: several of a role",
    194: "intents are agreed on with the app",
    197: "no fhirUser for who is no resource",
    198: "fhirUser is a Patient, Practitioner or the like",
    199: "Person only where nothing else fits",
    200: "identity scopes lead to an id token",
    203: "fhirUser may be absolute",
    204: "fhirUser may be relative",
    205: "OpenID Connect's code flow",
    206: "optional OpenID parameters may be left out",
    207: "keys are published as JWKs",
    208: "keys with X.509",
    209: "fhirUser is in the id token",
    210: "id tokens are signed with RS256",
    212: "claims parameter",
    213: "request objects",
    214: "userinfo",
    217: "extensions are named apart",
    228: "backend services: discovery",
    231: "backend services: TLS 1.2 or later",
    240: "backend services: clients are authorized beforehand",
    241: "backend services: scopes restrict further",
    243: "a request beyond the scopes fails",
    244: "a request for an unsupported type fails",
    245: "what policy withholds may be left out",
    246: "what is left out may be told",
    247: "when a token is needed is decided",
    248: "backend services: no refresh token",
    249: "backend services: the assertion is validated",
    250: "backend services: scopes within the registration",
    251: "errors as OAuth names them",
    252: "errors are described",
    253: "a good request gets a token",
    254: "backend: access_token",
    255: "backend: token_type",
    256: "backend: expires_in",
    257: "backend: 300 seconds",
    258: "backend: scope",
    259: "backend: scope may differ",
    260: "backend: scope is no more than asked",
    261: "backend: tokens are short-lived",
    262: "backend: no more than 300 seconds",
    265: "resource server: not expired",
    266: "resource server: scope covers the request",
    269: "introspection is supported",
    271: "introspection by RFC 7662",
    272: "introspection: active",
    273: "introspection: scope",
    274: "introspection: client_id",
    275: "introspection: exp",
    276: "introspection: exp agrees with expires_in",
    277: "introspection: launch context",
    278: "introspection: iss of the id token",
    279: "introspection: sub of the id token",
    280: "introspection: fhirUser",
    281: "introspection may be protected",
    282: "introspection by bearer token",
    283: "an authorized client introspects every client's tokens",
    285: "client-confidential-asymmetric is advertised",
    286: "token_endpoint is advertised",
    287: "scopes_supported is advertised",
    288: "private_key_jwt is advertised",
    289: "RS384 or ES384 is advertised",
    296: "keys by URL",
    297: "keys by value",
    305: "registered keys are protected",
    306: "clients are reminded to send new keys",
    310: "RS384 or ES384 is validated",
    311: "further algorithms",
    316: "a client is given an id",
    326: "without jku: the registered keys",
    335: "the assertion is validated by RFC 7523",
    336: "a jti serves once",
    337: "client_id and iss agree",
    338: "the key: of the registration, by kid and kind; a foreign jku fails",
    339: "keys are fetched by GET",
    340: "errors are invalid_client",
    341: "a key set is kept no longer than its Cache-Control says",
    342: "a key set is kept",
    344: "secrets are not meant for backend services",
    346: "a capability set is supported",
    348: "patient access, standalone",
    349: "patient access, from a portal",
    350: "clinician access, standalone",
    351: "clinician access, from a record",
    352: "launch-ehr",
    353: "launch-standalone",
    354: "authorize-post",
    355: "client-public",
    356: "client-confidential-symmetric",
    357: "client-confidential-asymmetric",
    358: "sso-openid-connect",
    359: "context-banner",
    360: "context-style",
    361: "context-ehr-patient",
    362: "context-ehr-encounter",
    363: "context-standalone-patient",
    364: "context-standalone-encounter",
    365: "permission-offline",
    366: "permission-online",
    367: "permission-patient",
    368: "permission-user",
    369: "permission-v1",
    370: "permission-v2",
    371: "smart-app-state",
    372: "discovery below the base URL",
    373: "discovery conveys endpoints and capabilities",
    374: "discovery is JSON whatever is accepted",
    376: "Accept may be ignored",
    377: "discovery is application/json",
    378: "addresses are absolute",
    380: "discovery has the JSON media type",
    381: "issuer",
    382: "jwks_uri",
    383: "authorization_endpoint",
    384: "grant_types_supported",
    385: "token_endpoint",
    386: "token_endpoint_auth_methods_supported",
    387: "user_access_brand_bundle",
    388: "user_access_brand_identifier",
    389: "scopes_supported",
    390: "response_types_supported, management_endpoint",
    391: "introspection_endpoint",
    392: "revocation_endpoint",
    393: "capabilities",
    394: "code_challenge_methods_supported with S256 alone",
    438: "registration_endpoint",
    439: "associated_endpoints",
} | dict.fromkeys([*range(395, 413), 417, 418, 419, *range(421, 425), *range(427, 435), 436, 437], "user access brands")

NOT_APPLICABLE: dict[str, tuple[int, ...]] = {
    "clients are registered by command alone": (19, 438),
    "an option that is not taken": (82, 92, 102, 138, 160, 163, 208, 212, 213, 246, 306, 311, 344),
    "one study is given as context, as a reference without a role": (
        159, 180, 181, 182, 183, 184, 185, 186, 187, 188, 190, 192,
    ),
    "not offered: intent, style, tenant, app state, encounter by itself": (174, 175, 176, 194, 360, 364, 371),
    "everybody who logs in is a Patient or a Practitioner": (197, 199),
    "fhirUser is absolute": (204,),
    "there are no scopes or parameters of our own": (217,),
    "TLS ends in front of the server; production refuses a base that is not https": (231,),
    "every FHIR request needs a token": (247,),
    "no brand bundle is published": (387, 388, *range(395, 413), 417, 418, 419, *range(421, 425), *range(427, 435), 436, 437),
}  # fmt: skip

OPEN: dict[str, tuple[int, ...]] = {
    "a key set is kept for five minutes whatever its Cache-Control says": (341,),
    "no page yet where people see and end what they allowed": (390,),
}


def marked() -> Iterator[tuple[str, str, str]]:
    """(requirement, file, test) of every mark."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for one in node.decorator_list:
                if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.requirement":
                    for argument in one.args:
                        if isinstance(argument, ast.Constant):
                            yield str(argument.value), str(path.relative_to(TESTS)), node.name


def states() -> dict[int, tuple[str, str]]:
    """number → (state, what shows it or why)."""
    found: dict[int, tuple[str, str]] = {}
    for state, reasons in (("not applicable", NOT_APPLICABLE), ("open", OPEN)):
        for why, numbers in reasons.items():
            found |= dict.fromkeys(numbers, (state, why))
    for text, file, test in marked():
        if text.startswith("SMART "):
            number = int(text.removeprefix("SMART "))
            before = found.get(number, ("tested", ""))
            shown = f"`{test}` in {file}"
            if before[0] == "tested":
                found[number] = ("tested", f"{before[1]}; {shown}" if before[1] else shown)
    return found


def table() -> str:
    """The coverage as Markdown."""
    known = states()
    counted = {state: sum(1 for n in REQUIREMENTS if known.get(n, ("open", ""))[0] == state) for state in ("tested", "not applicable", "open")}  # fmt: skip
    lines = [
        "# SMART App Launch 2.2: what is asked of a server, and what shows it",
        "",
        "Made by `python -m tests.support.smart_requirements --write`; the numbers are those of the Inferno test kit for",
        f"{SPECIFICATION}, the words our own.",
        "",
        ", ".join(f"{number} {state}" for state, number in counted.items()) + ".",
        "",
        "| | Asked | State | Shown by, or why |",
        "| --- | --- | --- | --- |",
    ]
    for number, asked in sorted(REQUIREMENTS.items()):
        state, why = known.get(number, ("open", "no test is marked with it yet"))
        lines.append(f"| {number} | {asked} | {state} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        TABLE.write_text(table())
    else:
        print(table())
