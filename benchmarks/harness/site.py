"""A running registry on a filled database, and the tokens of those who ask it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.security import generate_password_hash

from app import create_app
from app.config import Settings
from app.interactions import Services
from app.storage import oauth, schema
from app.storage.oauth import Client
from benchmarks.harness.world import ASKER, MAKERS, REGION, WARD, World
from tests.support.postgres import free_port
from tests.support.server import Running

EPR = "system/Patient.cruds system/EpisodeOfCare.cruds system/ImagingStudy.rs system/Endpoint.rs system/Organization.rs"
ARCHIVE = "system/ImagingStudy.cruds system/Endpoint.cruds system/Patient.rs system/Organization.rs"
ALL = "system/*.cruds"
# Who asks: kind, organisation, scope, purpose.
CALLERS = {
    "asker": ("backend", ASKER, EPR, "TREAT"),
    "ward": ("backend", WARD, EPR, "TREAT"),
    "archive": ("archive", MAKERS[0], ARCHIVE, "TREAT"),
    "steward": ("steward", REGION, ALL, None),
}
TOKEN_SECONDS = 3600
GATE_HASH = generate_password_hash("secret")


@dataclass(frozen=True)
class Site:
    """What a figure measures. `started` is how many seconds the server took to be ready."""

    world: World
    url: str
    server: Running
    tokens: dict[str, str]
    started: float
    workers: int
    threads: int

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def process(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid


@contextmanager
def site(folder: Path, url: str, world: World, workers: int, threads: int) -> Iterator[Site]:
    """The registry as `make run` starts it, on the database at `url`; stopped at the end."""
    folder.mkdir(exist_ok=True)
    server = Running(
        folder,
        REGISTRY_DATABASE_URL=url,
        REGISTRY_DEMO_DATA="0",
        REGISTRY_WORKERS=str(workers),
        REGISTRY_THREADS=str(threads),
        REGISTRY_NOTIFY="off",
    )
    settings = Settings(
        database_url=url, keys_dir=f"{folder}/keys", base_url=f"{server.address}/fhir", log_level="error"
    )
    tokens = tokens_of(settings)
    try:
        yield Site(world, url, server, tokens, server.start(), workers, threads)
    finally:
        server.close()


def tokens_of(settings: Settings) -> dict[str, str]:
    """Registers those who ask; a token for each of CALLERS, and what the gate proves itself by."""
    app = create_app(settings)
    services, found = app.extensions["services"], {}
    for name, (kind, ods, scope, purpose) in CALLERS.items():
        client = Client(f"bench-{name}", name, kind, f"ods:{ods}", scope, "system", purpose, jwks='{"keys": []}')
        services.store.retry(lambda tx, client=client: oauth.add(tx, client))
        found[name] = app.extensions["tokens"].mint(client, scope, TOKEN_SECONDS)
    gate = Client(
        "bench-gate", "gate", "gate", f"ods:{MAKERS[0]}", "system/ImagingStudy.rs", "system", secret_hash=GATE_HASH
    )
    services.store.retry(lambda tx: oauth.add(tx, gate))
    found["gate"] = b64encode(b"bench-gate:secret").decode()
    services.store.close()
    return found


@contextmanager
def services_on(url: str, folder: Path) -> Iterator[Services]:
    """The registry's parts in this process, on a database that is migrated; keys are made in the folder."""
    app = create_app(Settings(database_url=url, keys_dir=f"{folder}/keys", log_level="error"))
    services: Services = app.extensions["services"]
    schema.upgrade(services.store)
    try:
        yield services
    finally:
        services.store.close()


@contextmanager
def bare(folder: Path, workers: int, threads: int) -> Iterator[Running]:
    """The web framework alone, served the same way."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    server = Running(folder, (sys.executable, "-m", "benchmarks.harness.bare", str(port), str(workers), str(threads)))
    server.port = port
    server.start()
    process = server.process
    assert process is not None
    try:
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
