"""Processes that are kept running: started again when they end by themselves, stopped with everything they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from app import observability

STOPPING_SECONDS = 10
RESTART_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Kept:
    """One process, in a session of its own: a Ctrl-C reaches it only through `stop`, once and in order.

    All methods belong to one thread, the one whose end ends the process too."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def attend(self) -> None:
        """Start the process if it is not running; to be called again and again."""
        if self._process is not None and self._process.poll() is not None:
            observability.event("process_ended", process=self.name, status=self._process.returncode)
            self._sweep(self._process)
            self._process, self._not_before = None, time.monotonic() + RESTART_SECONDS
        if self._process is None and time.monotonic() >= self._not_before:
            self._process = subprocess.Popen(
                self._command, env=self._environment, start_new_session=True, preexec_fn=_end_with_parent
            )

    def stop(self) -> None:
        """Ask it to end, wait, and insist."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPPING_SECONDS + 2)
        self._sweep(self._process)
        self._process.wait()
        self._process = None

    @staticmethod
    def _sweep(process: subprocess.Popen[bytes]) -> None:
        """End what the process has left behind: it would hold the port that the next one needs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_with_parent() -> None:
    """Should the parent be killed outright, nobody else would end the process."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
