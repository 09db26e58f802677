"""A server as `make run` starts it: processes, port, database and keys of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from app.config import VARIABLES
from tests.support.postgres import free_port

ROOT = Path(__file__).parents[2]
FLASK = str(Path(sys.executable).with_name("flask"))
SERVER = (sys.executable, "-m", "app.server")
PATIENCE_SECONDS = 60


class Running:
    """`folder` holds what the server keeps and says; further settings by their variables' names."""

    def __init__(self, folder: Path, command: tuple[str, ...] = SERVER, **settings: str) -> None:
        self.port = free_port()
        self.log = folder / "log"
        self.command = command
        inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
        self.environment = inherited | {
            "PORT": str(self.port),
            "REGISTRY_DATABASE_URL": f"sqlite:///{folder}/registry.db",
            "REGISTRY_KEYS_DIR": f"{folder}/keys",
            "REGISTRY_WORKERS": "1",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start it, in a process group of its own as a terminal would, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, process_group=0
            )
        return self.process

    def start(self) -> float:
        """Start it and wait until it is ready; the seconds that took."""
        began = time.monotonic()
        process = self.spawn()
        while process.poll() is None and time.monotonic() < began + PATIENCE_SECONDS:
            if self.ready():
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"the server does not answer:\n{self.said()}")

    def ready(self) -> bool:
        try:
            with urlopen(f"{self.address}/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def said(self) -> str:
        return self.log.read_text()

    def says(self, text: str) -> None:
        """Wait until it has said `text`."""
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in self.said():
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def stop(self, wanted: signal.Signals = signal.SIGINT) -> int:
        """As Ctrl-C in a terminal does, to the whole group; the exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        os.killpg(process.pid, wanted)
        try:
            return process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise

    def close(self) -> None:
        """Stop it if it still runs."""
        if self.process is not None:
            self.stop()

    def paste(self, line: str) -> str:
        """What a line made for the default address prints in a shell, for this server."""
        line = line.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        if not (ROOT / ".venv/bin/flask").exists():
            line = line.replace(".venv/bin/flask", FLASK)
        return self._run(["bash", "-c", line])

    def flask(self, *arguments: str) -> str:
        return self._run([FLASK, "--app", "wsgi", *arguments])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout
