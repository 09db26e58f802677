"""A real Orthanc on a free loopback port with a folder of its own, for the harvest tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.postgres import free_port

ORTHANC = shutil.which("Orthanc")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PYTHON = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
INSTALL = "apt-get install orthanc orthanc-dicomweb"


@dataclass
class Running:
    url: str
    operator: tuple[str, str] | None = None  # who may fill one that has a gate

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def store(self, *paths: Path) -> None:
        """Put files into the archive and wait until their studies are stable."""
        for path in paths:
            requests.post(
                f"{self.url}/instances", data=path.read_bytes(), auth=self.operator, timeout=20
            ).raise_for_status()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            studies = requests.get(f"{self.url}/studies", params={"expand": ""}, auth=self.operator, timeout=20).json()
            if all(study["IsStable"] for study in studies):
                return
            time.sleep(0.2)
        raise TimeoutError("the archive's studies did not become stable")

    def delete(self, study_uid: str) -> None:
        found = requests.post(f"{self.url}/tools/lookup", data=study_uid, timeout=20).json()
        requests.delete(f"{self.url}/studies/{found[0]['ID']}", timeout=20).raise_for_status()


@contextmanager
def running(
    folder: Path, port: int = 0, plugins: Sequence[Path] = (), wait: float = 30, **more: Any
) -> Iterator[Running]:
    """Orthanc with DICOMweb, without DIMSE; stopped at the end. `more` is configuration of its own; `Operator` in its
    section RegistryGate may do everything."""
    port = port or free_port()
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "StableAge": 1,
        "Plugins": [str(DICOMWEB), *map(str, plugins)],
        **more,
    }
    operator = more.get("RegistryGate", {}).get("Operator")
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(ORTHANC), str(path)], stdout=log, stderr=log)
        try:
            archive = Running(f"http://127.0.0.1:{port}", tuple(operator.split(":")) if operator else None)
            _await(archive, process, wait)
            yield archive
        finally:
            process.terminate()
            process.wait(timeout=20)


def _await(archive: Running, process: subprocess.Popen[bytes], wait: float) -> None:
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{archive.url}/system", auth=archive.operator, timeout=2).raise_for_status()
            return
        except requests.RequestException:
            time.sleep(0.1)
    raise RuntimeError("Orthanc did not start")
