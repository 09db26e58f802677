"""`make validate`: HL7's own Java validator on everything in `fhir_profiles/` and on what the server gives out.

It runs without a network and without terminology: the validator comes from Maven Central, the definitions of R4 from npm
(`tests/support/hl7.py`), packages that it would fetch are there and empty, and for UK Core's profiles, which are not to
be had from a registry, stand-ins that add nothing to the type. Needs Java 17, Maven and npm. Prints a line for each
error, and says at the end what passed; the exit status is 1 where something did not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from app import create_app
from app.config import Settings
from app.demo.cli import STEWARD
from app.demo.load import load
from app.fhir.capability import SMART_URIS, TOPIC_CANONICAL
from app.fhir.profiles import BASE
from app.fhir.registry import TYPES
from app.fhir.terminology import DCM, context_group
from app.fhir.topics import R5
from app.published import FOLDER, profiles
from app.storage import schema
from tests.support import hl7
from tests.support.profiled import good
from tests.support.region import caller

VERSION = "6.5.18"
CACHE = hl7.CACHE.parent / "validator"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>none</groupId><artifactId>none</artifactId><version>1</version><dependencies>
<dependency><groupId>ca.uhn.hapi.fhir</groupId><artifactId>org.hl7.fhir.validation</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>com.squareup.okhttp3</groupId><artifactId>okhttp</artifactId><version>4.12.0</version></dependency>
<dependency><groupId>org.fhir</groupId><artifactId>ucum</artifactId><version>1.0.10</version></dependency>
</dependencies></project>"""
# Packages that the validator asks for whatever it is given.
EMPTY = (
    *("hl7.terminology.r4#6.2.0", "hl7.terminology#6.2.0", "hl7.terminology.r5#6.2.0"),
    *("hl7.fhir.uv.extensions.r4#5.2.0", "hl7.fhir.uv.extensions#5.2.0", "hl7.fhir.xver-extensions#0.1.0"),
    *("hl7.fhir.uv.tools#0.3.0", "hl7.fhir.uv.tools.r4#0.3.0"),
)
MEDIA_TYPES = "urn:ietf:bcp:13"  # no media type is known to the validator without terminology
# Extensions of others that the server uses → their parts, each by its whole address: one misspelt is still an error.
FOREIGN: dict[str, tuple[str, ...]] = {
    **{R5 + name: () for name in ("url", "version", "title", "status", "description")},
    R5 + "canFilterBy": ("resource", "filterParameter", "filterDefinition"),
    R5 + "resourceTrigger": ("description", "resource"),
    TOPIC_CANONICAL: (),
    SMART_URIS: ("authorize", "token", "register", "manage", "introspect", "revoke"),
}
CORE = ("StructureDefinition", "ValueSet", "CodeSystem", "SearchParameter", "OperationDefinition", "ConceptMap")


def validator() -> Path:
    """The folder with the validator's libraries."""
    libraries = CACHE / "lib"
    if not libraries.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "pom.xml").write_text(POM)
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], check=True, cwd=CACHE
        )
    return libraries


def home() -> Path:
    """A home directory whose package cache has R4 and nothing else."""
    packages = CACHE / "home" / ".fhir" / "packages"
    if not packages.exists():
        core = [path for kind in CORE for path in hl7.folder().glob(f"{kind}-*.json")]
        _package(packages / "hl7.fhir.r4.core#4.0.1", core, "Core", "http://hl7.org/fhir")
        for name in EMPTY:
            _package(packages / name, [], "IG", f"http://example.org/{name.partition('#')[0]}")
        (packages / "packages.ini").write_text("[cache]\nversion=3\n\n[urls]\n\n[local]\n\n[packages]\n")
    return CACHE / "home"


def _package(folder: Path, files: list[Path], kind: str, canonical: str) -> None:
    name, _, version = folder.name.partition("#")
    inside = folder / "package"
    inside.mkdir(parents=True)
    index = []
    for path in files:
        shutil.copy(path, inside / path.name)
        said = orjson.loads(path.read_bytes())
        kept = ("resourceType", "id", "url", "version", "kind", "type", "supplements", "content", "derivation")
        index.append({"filename": path.name} | {key: said[key] for key in kept if isinstance(said.get(key), str)})
    (inside / ".index.json").write_text(json.dumps({"index-version": 2, "files": index}))
    said = {"name": name, "version": version, "type": kind, "canonical": canonical, "fhirVersions": ["4.0.1"]}
    (inside / "package.json").write_text(json.dumps(said | {"url": canonical, "dependencies": {}}))


def _part(name: str) -> Iterator[dict[str, Any]]:
    """A slice of a complex extension, with a value of any type."""
    here, path = f"Extension.extension:{name}", "Extension.extension"
    yield {"id": here, "path": path, "sliceName": name, "min": 0, "max": "*"}
    yield {"id": f"{here}.extension", "path": f"{path}.extension", "max": "0"}
    yield {"id": f"{here}.url", "path": f"{path}.url", "fixedUri": name}


def stand_ins() -> Iterator[dict[str, Any]]:
    """Profiles of UK Core by name alone."""
    for one in profiles().documents:
        base = one.get("baseDefinition", "")
        if "/UKCore-" in base:
            name = base.rpartition("/")[2]
            yield {
                "resourceType": "StructureDefinition",
                "id": name,
                "url": base,
                "name": name.replace("-", ""),
                "status": "draft",
                "fhirVersion": "4.0.1",
                "kind": "resource",
                "abstract": False,
                "type": one["type"],
                "baseDefinition": BASE + one["type"],
                "derivation": "constraint",
                "differential": {"element": [{"id": one["type"], "path": one["type"]}]},
            }

    for number, (url, parts) in enumerate(FOREIGN.items()):
        yield {
            "resourceType": "StructureDefinition",
            "id": f"foreign-{number}",
            "url": url,
            "name": f"Foreign{number}",
            "status": "draft",
            "fhirVersion": "4.0.1",
            "kind": "complex-type",
            "abstract": False,
            "context": [{"type": "element", "expression": "Element"}],
            "type": "Extension",
            "baseDefinition": BASE + "Extension",
            "derivation": "constraint",
            "differential": {
                "element": [
                    {"id": "Extension", "path": "Extension"},
                    *(part for name in parts for part in _part(name)),
                    {"id": "Extension.url", "path": "Extension.url", "fixedUri": url},
                    *([{"id": "Extension.value[x]", "path": "Extension.value[x]", "max": "0"}] if parts else []),
                ]
            },
        }
    yield {
        "resourceType": "CodeSystem",
        "id": "fhir-types",
        "url": "http://hl7.org/fhir/fhir-types",
        "name": "FHIRTypes",
        "status": "draft",
        "content": "fragment",
        "concept": [{"code": "SubscriptionTopic"}],
    }
    for number in (29, 33):  # DICOM's lists, from pydicom as the server has them
        yield {
            "resourceType": "ValueSet",
            "id": f"cid-{number}",
            "url": f"http://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_{number}.html",
            "name": f"CID{number}",
            "status": "active",
            "compose": {
                "include": [{"system": DCM, "concept": [{"code": code} for _, code in sorted(context_group(number))]}]
            },
        }


def given_out(scratch: Path) -> Iterator[tuple[str, bytes]]:
    """What the server answers: every resource of the demo region as stored, search pages, history, statement, outcomes."""
    url = f"sqlite:///{scratch}/registry.db"
    app = create_app(Settings(database_url=url, keys_dir=str(scratch / "keys"), log_level="error"))
    services = app.extensions["services"]
    schema.upgrade(services.store)
    load(services, STEWARD)
    reader = caller(app, "steward", "ZQ1", purpose=None)
    yield "metadata", app.test_client().get("/fhir/metadata").data
    for name in TYPES:
        answer = reader.get(f"/{name}?_count={5 if name == 'AuditEvent' else 100}")
        yield f"search-{name}", answer.data
        for number, entry in enumerate((answer.json or {}).get("entry", ())):
            yield f"{name}-{number}", orjson.dumps(entry["resource"])
    yield "history", reader.get("/Patient/_history?_count=50").data
    yield "outcome", reader.post("/Patient", {"resourceType": "Patient", "gender": "x", "name": []}).data
    yield "validated", reader.post("/Patient/$validate", {"resourceType": "Patient"}).data
    services.store.close()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="official-") as made:
        scratch = Path(made)
        for folder in ("guide", "files"):
            (scratch / folder).mkdir()
        for number, one in enumerate(stand_ins()):
            (scratch / "guide" / f"stand-in-{number}.json").write_bytes(orjson.dumps(one))
        for path in FOLDER.rglob("*.json"):
            if "examples" not in path.parts:
                name = "-".join(path.relative_to(FOLDER).parts)
                shutil.copy(path, scratch / "guide" / name)
                shutil.copy(path, scratch / "files" / name)
        for name, resource in good():
            (scratch / "files" / f"{name.replace('/', '-')}.json").write_bytes(orjson.dumps(resource))
        for name, body in given_out(scratch):
            (scratch / "files" / f"out-{name}.json").write_bytes(body)
        return run(scratch)


def run(scratch: Path) -> int:
    out = scratch / "out.json"
    command = [
        *("java", f"-Duser.home={home()}", "-Xmx2g", "-cp", f"{validator()}/*"),
        *("org.hl7.fhir.validation.ValidatorCli", str(scratch / "files"), "-version", "4.0.1", "-tx", "n/a"),
        *("-ig", str(scratch / "guide"), "-output", str(out), "-extension", "any"),
    ]
    said = subprocess.run(command, capture_output=True, text=True)
    if not out.exists():
        print(said.stdout[-4000:], said.stderr[-4000:])
        return 1
    bundle = orjson.loads(out.read_bytes())
    outcomes = [e["resource"] for e in bundle.get("entry", ())] if bundle["resourceType"] == "Bundle" else [bundle]
    errors = 0
    for outcome in outcomes:
        name = Path(
            next(e["valueString"] for e in outcome["extension"] if e["url"].endswith("operationoutcome-file"))
        ).name
        for issue in outcome["issue"]:
            if issue["severity"] in ("error", "fatal") and MEDIA_TYPES not in issue["details"]["text"]:
                errors += 1
                print(name, issue.get("expression", [""])[0], issue["details"]["text"])
    print(f"{len(outcomes)} files, {errors} errors; validator {VERSION}, terminology off")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
