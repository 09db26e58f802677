"""`flask gate …`: putting the gate into an Orthanc, and the proxy as a process of its own."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from werkzeug.security import generate_password_hash

from app.archives import gate as gate_file
from app.fhir.identifier import ODS_ORGANISATION
from app.interactions import Services
from app.interactions.flush_key import flush_key
from app.policy.organisation import key_from
from app.storage import oauth
from app.storage.oauth import Client

gate = AppGroup("gate", help="Gates of archives: install one in an Orthanc, serve the proxy by itself.")


@gate.command("install")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--org", required=True, help="ODS code of the organisation whose archive it is.")
@click.option("--registry", help="Origin at which the archive reaches this registry; its own by default.")
@click.option(
    "--flush-url", help="Origin at which this registry reaches the archive, to be told at once what has ended."
)
@click.option("--id", "client_id", help="An id of one's own choice for the gate's client.")
@click.option("--json", "as_json", is_flag=True)
def install(
    folder: Path, org: str, registry: str | None, flush_url: str | None, client_id: str | None, as_json: bool
) -> None:
    """Write the gate and its configuration for an Orthanc into FOLDER, and register it as a client."""
    services: Services = current_app.extensions["services"]
    key = key_from(ODS_ORGANISATION, org)
    if key is None or not key.removeprefix("ods:").isalnum():
        raise click.UsageError("--org is not an ODS code; expected letters and digits such as RXB")
    for given in filter(None, (registry, flush_url)):
        if not given.startswith(("https://", "http://")):
            raise click.UsageError(f"'{given}' is no origin; expected one such as https://archive.example")
    id, secret = client_id or f"gate-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    address = f"{flush_url.rstrip('/')}{gate_file.FLUSH}" if flush_url else None
    client = Client(
        id, f"Gate of {org}", "gate", key, "system/ImagingStudy.rs", "system",
        secret_hash=generate_password_hash(secret), flush_url=address,
    )  # fmt: skip
    services.store.retry(lambda tx: oauth.add(tx, client))
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("gate.py", "registry-gate.json", "gate.secret", "gate.flush-key")}
    shutil.copyfile(gate_file.__file__, files["gate.py"])
    _private(files["gate.secret"], secret)
    _private(files["gate.flush-key"], flush_key(services, id).hex())
    section = {
        "Registry": (registry or services.settings.origin).rstrip("/"),
        "Client": id,
        "SecretFile": str(files["gate.secret"].absolute()),
        "FlushKeyFile": str(files["gate.flush-key"].absolute()),
    }
    said = {"PythonScript": str(files["gate.py"].absolute()), gate_file.SECTION: section}
    files["registry-gate.json"].write_text(json.dumps(said, indent=2) + "\n")
    if as_json:
        click.echo(json.dumps({"client_id": id, "files": [str(one) for one in files.values()]}))
        return
    click.echo("\n".join([f"client_id: {id}", *map(str, files.values())]))
    click.echo(
        "Orthanc is to load registry-gate.json beside its own configuration, with the plugins for Python and DICOMweb,"
    )
    click.echo("AuthenticationEnabled false and DicomServerEnabled false, and to be reached through its proxy alone.")


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(f"{text}\n")


@gate.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8081, show_default=True)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=64, show_default=True, help="Images under way at once."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="say where, as JSON, before serving")
def serve(host: str, port: int, threads: int, workers: int, as_json: bool) -> None:
    """Serve /archive/proxy by itself, so that long transfers hold up nothing else. Until stopped."""
    if as_json:
        click.echo(json.dumps({"address": f"http://{host}:{port}", "threads": threads, "workers": workers}))
    Granian(
        "app.serving:archive_proxy",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        websockets=False,
    ).serve()
