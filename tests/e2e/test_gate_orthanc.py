"""The gate in a real Orthanc, and the proxy in front of one: real DICOM, real tokens, a registry that runs as `make run`.

The acceptance of the decision at the archive: who is let through, in every form; what leaks by another name; parallel
retrievals while decisions are slow; an opt-out while the viewer is open; the registry away. Attack 82 as well.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from app import create_app
from app.config import Settings
from app.demo.archive import instances
from app.demo.story import OPT_OUT
from app.storage import oauth
from tests.e2e.ingest_orthanc import PYTHON
from tests.e2e.ingest_orthanc import Running as Orthanc
from tests.e2e.ingest_orthanc import running as orthanc
from tests.support.parts import requires
from tests.support.postgres import free_port
from tests.support.server import Running

pytestmark = requires("orthanc", "orthanc-dicomweb", "orthanc-python")

SHARED = [one for one in instances() if one.study.id == "hazel-cervical-spine"]
STRANGE = [one for one in instances() if one.study.id == "yew-ultrasound"]
MINE, OTHER = SHARED[0], STRANGE[0]
STUDY = f"/studies/{MINE.study_uid}"
SERIES = f"{STUDY}/series/{MINE.series_uid}"
ONE = f"{SERIES}/instances/{MINE.uid}"
FORMS = (
    STUDY, f"{STUDY}/metadata", f"{STUDY}/series", f"{STUDY}/rendered", SERIES, f"{SERIES}/metadata", f"{SERIES}/rendered", ONE,
    f"{ONE}/metadata", f"{ONE}/rendered", f"{ONE}/frames/1", f"{ONE}/frames/1/rendered", f"/studies?StudyInstanceUID={MINE.study_uid}",
    f"/studies?0020000D={MINE.study_uid}&includefield=00081030",
)  # fmt: skip
LEAKS = (
    f"/studies?StudyInstanceUID={MINE.study_uid}&0020000D={OTHER.study_uid}",
    f"/studies?0020000D={OTHER.study_uid}&StudyInstanceUID={MINE.study_uid}",
    f"/studies?StudyInstanceUID={MINE.study_uid}&StudyInstanceUID={OTHER.study_uid}",
    f"/studies?StudyInstanceUID={MINE.study_uid}&0020,000D={OTHER.study_uid}",
    f"/studies?studyinstanceuid={MINE.study_uid}",
    f"/studies?StudyInstanceUID={MINE.study_uid},{OTHER.study_uid}",
    f"/studies?StudyInstanceUID={MINE.study_uid}%5C{OTHER.study_uid}",
    "/studies?StudyInstanceUID=*",
    "/studies?StudyInstanceUID=",
    "/studies",
    f"{STUDY}?StudyInstanceUID={OTHER.study_uid}",
    f"{STUDY}/series/{OTHER.series_uid}/metadata",
    f"{STUDY}/series/{OTHER.series_uid}/instances/{OTHER.uid}/rendered",
    f"{SERIES}/instances/{OTHER.uid}/frames/1",
    f"/studies/{OTHER.study_uid}/metadata",
    "/series",
    "/instances",
)


@dataclass
class Door:
    """A DICOMweb base, and the tokens with which it is tried."""

    base: str
    treating: str

    def get(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        given = {} if token == "" else {"Authorization": f"Bearer {token or self.treating}"}
        return requests.get(self.base + path, headers=given | headers, timeout=30)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo region with its worker; DICOMweb of the second Orthanc stands behind its proxy."""
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    (folder / "password").write_text("unneeded")
    (folder / "archives.toml").write_text(
        f'[[archive]]\nendpoint = "birchwater-archive"\naddress = "http://127.0.0.1:{port}/dicom-web"\n'
        f'username = "registry"\npassword_file = "{folder}/password"\n'
    )
    made = Running(folder, REGISTRY_ARCHIVES_FILE=f"{folder}/archives.toml", REGISTRY_THREADS="24")
    made.environment["BEHIND_PORT"] = str(port)
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def installed(registry: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What `gate install` writes for an Orthanc, and the port that it is to listen on."""
    folder, port = tmp_path_factory.mktemp("gate"), free_port()
    registry.flask(
        "gate", "install", str(folder), "--org", "ZB1", "--registry", registry.address, "--flush-url", f"http://127.0.0.1:{port}"
    )  # fmt: skip
    return folder, port


@contextmanager
def gated(folder: Path, port: int, storage: Path, **section: Any) -> Iterator[Orthanc]:
    """An Orthanc with the gate as installed, filled by its operator."""
    said = json.loads((folder / "registry-gate.json").read_text())
    said["RegistryGate"] |= {"Operator": "filler:of-the-test"} | section
    with orthanc(storage, port, [PYTHON], **said) as made:
        yield made


@pytest.fixture(scope="module")
def archive(installed: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with gated(*installed, tmp_path_factory.mktemp("orthanc")) as made:
        made.store(*(one.path for one in SHARED + STRANGE))
        yield made


@pytest.fixture(scope="module")
def behind(registry: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that cannot be extended: it asks nobody, and stands behind the proxy."""
    with orthanc(tmp_path_factory.mktemp("behind"), int(registry.environment["BEHIND_PORT"])) as made:
        made.store(*(one.path for one in SHARED + STRANGE))
        yield made


MINTS: dict[str, Flask] = {}


@pytest.fixture(scope="module", autouse=True)
def mint(registry: Running) -> Iterator[None]:
    """The registry's own tokens, by its own keys, as `flask token` makes them."""
    settings = Settings(
        database_url=registry.environment["REGISTRY_DATABASE_URL"],
        keys_dir=registry.environment["REGISTRY_KEYS_DIR"],
        base_url=f"{registry.address}/fhir",
        log_level="error",
    )
    MINTS[registry.address] = create_app(settings)
    yield
    MINTS.pop(registry.address).extensions["services"].store.close()


def token(registry: Running, id: str = "alderbrook-epr", scope: str | None = None) -> str:
    app = MINTS[registry.address]
    with app.extensions["services"].store.begin(reads=True) as tx:
        client = oauth.find(tx, id)
    assert client is not None
    return str(app.extensions["tokens"].mint(client, scope or client.scope, 3600))


@pytest.fixture(scope="module")
def treating(registry: Running) -> str:
    return token(registry)


@pytest.fixture(params=["gate", "proxy"])
def door(request: pytest.FixtureRequest, registry: Running, treating: str) -> Door:
    if request.param == "gate":
        return Door(request.getfixturevalue("archive").dicomweb, treating)
    request.getfixturevalue("behind")
    return Door(f"{registry.address}/archive/proxy/birchwater-archive", treating)


def choose(registry: Running, choice: str) -> None:
    """The patient opts out, or changes her mind and opts in."""
    headers = {
        "Authorization": f"Bearer {token(registry, 'demo-steward')}",
        "Content-Type": "application/fhir+json",
    }
    parameters = OPT_OUT.replace("opt-out", choice)
    answer = requests.post(
        f"{registry.address}/fhir/Consent/$record-choice", data=parameters, headers=headers, timeout=30
    )
    assert answer.status_code in (200, 201), answer.text


def test_every_form_is_open_to_whom_the_registry_permits_and_to_nobody_else(door: Door, registry: Running) -> None:
    stranger = token(registry, "cedarholme-epr")
    for path in FORMS:
        assert door.get(path).status_code == 200, path
        assert door.get(path, "").status_code == 403, path
        assert door.get(path, "not-a-token").status_code == 403, path
        assert door.get(path, stranger).status_code == 403, path


def test_a_token_for_one_study_opens_that_study_alone(door: Door, registry: Running) -> None:
    def scope(uid: str) -> str:
        return f"system/ImagingStudy.rs?identifier=urn:dicom:uid|urn:oid:{uid}"

    mine = token(registry, "alderbrook-epr", scope(MINE.study_uid))
    another = token(registry, "alderbrook-epr", scope("1.2.3.4"))
    assert door.get(f"{STUDY}/metadata", mine).status_code == 200
    assert door.get(f"{STUDY}/metadata", another).status_code == 403
    assert door.get(f"/studies/{OTHER.study_uid}/metadata", mine).status_code == 403


@pytest.mark.attack(82)
def test_82_nothing_of_another_study_comes_by_another_name(door: Door) -> None:
    for path in LEAKS:
        answer = door.get(path)
        assert answer.status_code in (403, 404), path
        assert OTHER.study_uid not in answer.text.replace(path, "") or answer.status_code == 404, path


def test_an_orthanc_with_a_gate_shows_nothing_but_studies(archive: Orthanc, treating: str) -> None:
    headers = {"Authorization": f"Bearer {treating}"}
    for path in ("/", "/system", "/studies", "/instances", "/changes", "/app/explorer.html", "/dicom-web/servers", "/tools",
                 f"/wado?requestType=WADO&studyUID={OTHER.study_uid}&seriesUID={OTHER.series_uid}&objectUID={OTHER.uid}"):  # fmt: skip
        assert requests.get(archive.url + path, headers=headers, timeout=20).status_code == 403, path
    for method in ("POST", "PUT", "DELETE"):
        answer = requests.request(method, f"{archive.dicomweb}{STUDY}", headers=headers, timeout=20)
        assert answer.status_code == 403, method


def until(met: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_an_opt_out_while_the_viewer_is_open_refuses_the_next_frame(door: Door, registry: Running) -> None:
    """What the gate keeps would be good for 30 seconds; it is told to forget it."""
    frame = f"{ONE}/frames/1"
    assert door.get(frame).status_code == 200
    choose(registry, "opt-out")
    try:
        assert until(lambda: door.get(frame).status_code == 403)
        for path in FORMS:
            assert door.get(path).status_code == 403, path
    finally:
        choose(registry, "opt-in")
    assert until(lambda: door.get(frame).status_code == 200)


def test_a_client_that_is_disabled_is_refused_at_the_gate(archive: Orthanc, registry: Running) -> None:
    door = Door(archive.dicomweb, token(registry, "birchwater-epr"))
    assert door.get(f"{STUDY}/metadata").status_code == 200
    MINTS[registry.address].extensions["services"].store.retry(lambda tx: oauth.disable(tx, "birchwater-epr"))
    assert until(lambda: door.get(f"{STUDY}/metadata").status_code == 403)


def test_only_the_registry_can_make_a_gate_forget(archive: Orthanc) -> None:
    address = f"{archive.url}/registry-gate/flush"
    assert requests.post(address, json={"studies": None}, timeout=20).status_code == 403
    signed = {"X-Registry-Signature": "0" * 64}
    assert requests.post(address, json={"studies": None}, headers=signed, timeout=20).status_code == 403
    assert requests.get(address, timeout=20).status_code == 403


class Slow:
    """A registry that answers each decision after a time, or never. Counts how many wait at once."""

    def __init__(self, seconds: float, allowed: bool = True) -> None:
        self.seconds, self.allowed = seconds, allowed
        self.waiting = self.most = 0
        self.lock = threading.Lock()
        self.all_there = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            with self.lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
                if self.waiting >= 20:
                    self.all_there.set()
            self.all_there.wait(self.seconds)
            with self.lock:
                self.waiting -= 1
            body = json.dumps(
                {"allowed": self.allowed, "decision_id": "d", "reason": "PERMITTED", "max_age": 0}
            ).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + body)

    def close(self) -> None:
        self.listener.close()


def test_twenty_parallel_retrievals_do_not_queue_behind_a_slow_decision(
    installed: tuple[Path, int], tmp_path: Path
) -> None:
    """Twenty wait at once for a registry that answers only when all twenty have come."""
    slow = Slow(2.5)
    try:
        with gated(installed[0], free_port(), tmp_path, Registry=slow.address) as made:
            made.store(*(one.path for one in SHARED))
            door = Door(made.dicomweb, "any")
            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda _: door.get(f"{ONE}/frames/1").status_code, range(20)))
        assert (answers, slow.most) == ([200] * 20, 20)
    finally:
        slow.close()


def test_a_registry_that_is_away_or_hangs_or_talks_nonsense_opens_nothing(
    installed: tuple[Path, int], tmp_path: Path
) -> None:
    hanging = socket.create_server(("127.0.0.1", 0))
    nonsense = Slow(0, allowed=False)
    for number, address in enumerate(
        ("http://127.0.0.1:9", f"http://127.0.0.1:{hanging.getsockname()[1]}", nonsense.address)
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with gated(installed[0], free_port(), folder, Registry=address, Seconds=0.5) as made:
            made.store(MINE.path)
            assert Door(made.dicomweb, "any").get(f"{STUDY}/metadata").status_code == 403
    hanging.close()
    nonsense.close()


def test_a_gate_that_is_not_configured_lets_nothing_through(installed: tuple[Path, int], tmp_path: Path) -> None:
    said = json.loads((installed[0] / "registry-gate.json").read_text())
    said["RegistryGate"].pop("Client")
    with pytest.raises(RuntimeError, match="did not start"), orthanc(tmp_path, 0, [PYTHON], wait=3, **said):
        pass
    assert "RegistryGate.Client is missing" in (tmp_path / "log").read_text()


def test_when_the_registry_goes_away_what_was_permitted_ends_with_its_time(
    registry: Running, archive: Orthanc, behind: Orthanc, treating: str
) -> None:
    """The last test of the file: it stops the registry."""
    proxy = Door(f"{registry.address}/archive/proxy/birchwater-archive", treating)
    assert proxy.get(f"{ONE}/frames/1").status_code == 200
    fresh = token(registry)
    registry.stop()
    assert Door(archive.dicomweb, fresh).get(f"{ONE}/frames/1").status_code == 403
    with pytest.raises(requests.ConnectionError):
        proxy.get(f"{ONE}/frames/1")
