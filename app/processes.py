"""Processes that are kept running: started again when they end by themselves, stopped with everything they started.

One that needs what this one has imported already is forked from it, where the system makes that safe: it is there at once,
and its memory is shared until it writes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from app import observability

STOPPING_SECONDS = 10
RESTART_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Started(Protocol):
    """What `subprocess.Popen` and `Forked` have in common."""

    pid: int
    returncode: Any

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def spawned(command: Sequence[str], environment: Mapping[str, str]) -> Started:
    """A program, in a session of its own."""
    return subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_end_with_parent)


class Forked:
    """This program going on in another process, in a session of its own, with `work` and nothing else; its result is the
    exit status. Nothing may be open here but what both may use, and no thread may run."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.returncode: int | None = None
        gc.freeze()  # so that collecting there writes to nothing that is shared
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.setsid()
                _end_with_parent()
                for one in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(one, signal.SIG_DFL)
                status = work()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def poll(self) -> int | None:
        return self._awaited(os.WNOHANG)

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("forked", timeout or 0.0)
            time.sleep(0.01)
        return status

    def _awaited(self, how: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, how)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Kept:
    """One process. A Ctrl-C reaches it only through `stop`, once and in order, for it has a session of its own.

    All methods belong to one thread, the one whose end ends the process too."""

    def __init__(self, name: str, start: Callable[[], Started]) -> None:
        self.name = name
        self._start = start
        self._process: Started | None = None
        self._not_before = 0.0

    def attend(self) -> None:
        """Start the process if it is not running; to be called again and again."""
        if self._process is not None and self._process.poll() is not None:
            observability.event("process_ended", process=self.name, status=self._process.returncode)
            self._sweep(self._process)
            self._process, self._not_before = None, time.monotonic() + RESTART_SECONDS
        if self._process is None and time.monotonic() >= self._not_before:
            self._process = self._start()

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
    def _sweep(process: Started) -> None:
        """End what the process has left behind: it would hold the port that the next one needs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _end_with_parent() -> None:
    """Should the parent be killed outright, nobody else would end the process."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
