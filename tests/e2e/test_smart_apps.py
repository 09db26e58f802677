"""Strangers: SMART's own JavaScript client launches in a real browser, from a record and by itself; a backend client
in Python gets tokens with an assertion. Against the server as `make run` starts it.

https://hl7.org/fhir/smart-app-launch/example-app-launch-public.html, example-backend-services.html
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from playwright.sync_api import Browser, Page

from tests.support import npm
from tests.support.apps import site
from tests.support.parts import requires
from tests.support.server import Running

pytestmark = requires("chromium", "npm")

LAUNCH = """<!doctype html><meta charset="utf-8"><title>launch</title><script src="fhir-client.js"></script><script>
FHIR.oauth2.authorize(%s)</script>"""
INDEX = """<!doctype html><meta charset="utf-8"><title>app</title><script src="fhir-client.js"></script>
<pre id="said"></pre><script>
FHIR.oauth2.ready().then(async (client) => {
  const studies = await client.request("ImagingStudy?patient=" + client.patient.id + "&_include=ImagingStudy:endpoint");
  const patient = await client.patient.read();
  const token = client.state.tokenResponse;
  let renewed = null;
  if (token.refresh_token) { await client.refresh(); renewed = (await client.patient.read()).id; }
  return {
    patient: patient.id, encounter: client.encounter.id, user: client.user.fhirUser, scope: token.scope, renewed,
    context: token.fhirContext ?? null,
    studies: (studies.entry ?? []).map((one) => one.resource.resourceType + "/" + one.resource.id).sort(),
  };
}).then((said) => { document.getElementById("said").textContent = JSON.stringify(said) })
  .catch((error) => { document.getElementById("said").textContent = JSON.stringify({ error: String(error) }) });
</script>"""
SCOPES = "openid fhirUser offline_access patient/*.rs"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("apps-served"))
    running.start()
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, served: Running) -> Iterator[Page]:
    context = browser.new_context(base_url=served.address)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def app_site(served: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Somebody's app, with fhirclient, at an origin of its own."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(npm.package("fhirclient", "2.6.3") / "build" / "fhir-client.js", folder)
    with site(folder) as origin:
        added = served.flask(
            "client", "add", "Heart of the Matter", "--org", "ZQ1", "--kind", "app", "--purpose", "TREAT", "--json",
            "--redirect-uri", f"{origin}/index.html", "--launch-url", f"{origin}/launch.html",
            "--scope", f"launch launch/patient launch/encounter launch/imagingstudy {SCOPES}",
        )  # fmt: skip
        client_id = json.loads(added)["client_id"]
        common = {"clientId": client_id, "redirectUri": "index.html"}
        of_record = common | {"scope": f"launch {SCOPES}"}
        by_itself = common | {"scope": f"launch/patient {SCOPES}", "iss": f"{served.address}/fhir"}
        (folder / "launch.html").write_text(LAUNCH % json.dumps(of_record))
        (folder / "standalone.html").write_text(LAUNCH % json.dumps(by_itself))
        (folder / "index.html").write_text(INDEX)
        yield origin


def sign_in(page: Page, username: str = "clinician") -> None:
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(username)
    page.get_by_role("button", name="Sign in").click()


def told(page: Page, origin: str) -> dict[str, Any]:
    """What the app says when it is done."""
    page.wait_for_url(f"{origin}/index.html*")
    page.wait_for_function("document.getElementById('said').textContent.length > 0")
    return dict(json.loads(page.locator("#said").inner_text()))


STUDIES = ["Endpoint/birchwater-archive", "Endpoint/cedarholme-archive", "ImagingStudy/hazel-cervical-spine", "ImagingStudy/hazel-head"]  # fmt: skip


def test_fhirclient_launches_by_itself_and_reads_the_patient_that_was_chosen(
    page: Page, app_site: str, served: Running
) -> None:
    page.goto(f"{app_site}/standalone.html")
    sign_in(page)
    page.get_by_label("Hazel Demo").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    said = told(page, app_site)
    assert said == {
        "patient": "hazel",
        "encounter": None,
        "user": "Practitioner/dr-avocet",
        "scope": f"launch/patient {SCOPES}",
        "renewed": "hazel",
        "context": None,
        "studies": STUDIES,
    }


def test_fhirclient_is_launched_from_a_record_with_patient_encounter_and_study(
    page: Page, app_site: str, served: Running
) -> None:
    page.goto("/auth/launch")
    sign_in(page)
    page.get_by_label("Hazel Demo").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("App", exact=True).select_option(label="Heart of the Matter")
    page.get_by_label("Study").select_option(value="hazel-head")
    page.get_by_label("Encounter").fill("enc-1")
    page.get_by_role("button", name="Open the app").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    said = told(page, app_site)
    assert said == {
        "patient": "hazel",
        "encounter": "enc-1",
        "user": "Practitioner/dr-avocet",
        "scope": f"launch {SCOPES}",
        "renewed": "hazel",
        "context": [{"reference": "ImagingStudy/hazel-head"}],
        "studies": STUDIES,
    }


def test_who_does_not_allow_it_is_back_at_the_app_which_is_told(page: Page, app_site: str) -> None:
    page.goto(f"{app_site}/standalone.html")
    sign_in(page)
    page.get_by_label("Hazel Demo").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Do not allow").click()
    assert "did not allow" in told(page, app_site)["error"]


@pytest.mark.parametrize("kind", ["ES384", "RS384"])
def test_a_backend_client_in_python_proves_itself_and_searches(served: Running, tmp_path: Path, kind: str) -> None:
    parameters: Any = {"kid": "k1", "use": "sig", "alg": kind}
    key = ECKey.generate_key("P-384", parameters=parameters) if kind == "ES384" else RSAKey.generate_key(2048, parameters=parameters)  # fmt: skip
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    added = served.flask(
        "client", "add", "Their engine", "--org", "ZA1", "--kind", "backend", "--purpose", "TREAT", "--json",
        "--scope", "system/ImagingStudy.rs system/Endpoint.rs", "--jwks", str(tmp_path / "jwks.json"),
    )  # fmt: skip
    client = json.loads(added)["client_id"]
    known = requests.get(f"{served.address}/fhir/.well-known/smart-configuration", timeout=5).json()
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": known["token_endpoint"], "exp": now + 240, "jti": str(uuid.uuid4())}
    assertion = jwt.encode({"alg": kind, "kid": "k1", "typ": "JWT"}, claims, key, algorithms=[kind])
    answer = requests.post(
        known["token_endpoint"],
        data={
            "grant_type": "client_credentials",
            "scope": "system/ImagingStudy.rs system/Endpoint.rs",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        },
        timeout=5,
    )
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said.keys() == {"access_token", "token_type", "expires_in", "scope"} and said["expires_in"] <= 300
    headers = {"Authorization": f"Bearer {said['access_token']}"}
    found = requests.get(
        f"{served.address}/fhir/ImagingStudy?patient=Patient/hazel&_include=ImagingStudy:endpoint",
        headers=headers,
        timeout=5,
    ).json()
    assert sorted(f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in found["entry"]) == STUDIES
