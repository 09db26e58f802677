"""Each defence taken out in turn, and its attacks expected to succeed: a test marked with the attack must be red.

`python -m tests.security.defences [--only NUMBERS] [--quick] [--processes N] [--list]`

Each runs in a process of its own with the module replaced in memory; nothing is written. On SQLite alone: the defences are
the same source for both databases. Exit status 1 if any attack still fails though its defence is gone.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.mutation.replaced import HEAVY, OPTIONS, Replaced
from tests.security.attacks import ATTACKS, ROOT, Defence, marked
from tests.security.taken_out import DEFENCES

SECONDS = 240  # the longest that the tests of one defence may take
RED = 30  # exit statuses of a process: this and more is how its tests ended


class Noted:
    """A pytest plugin: on SQLite only, and which tests were red when they ran (not when they were set up)."""

    def __init__(self) -> None:
        self.red: set[str] = set()
        self.ran: set[str] = set()

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        kept = [one for one in items if "postgresql" not in one.name]
        config.hook.pytest_deselected(items=[one for one in items if one not in kept])
        items[:] = kept

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            name = report.nodeid.split("[")[0]
            self.ran.add(name)
            if report.failed:
                self.red.add(name)


def run(defence: Defence | None, tests: list[str], told: Path) -> None:
    """The tests without the defence, in this process; what was red goes into the file `told`."""
    import pytest

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    if defence is not None:
        for path, source in defence.without():
            sys.meta_path.insert(0, Replaced(path, source))
    os.chdir(ROOT)
    noted = Noted()
    pytest.main([*OPTIONS, "-p", "no:randomly", *tests], plugins=[noted])
    told.write_bytes(pickle.dumps((noted.ran, noted.red)))


def taken_out(defences: list[Defence], processes: int) -> Iterator[tuple[Defence, dict[int, list[str]]]]:
    """(defence, attack → the red tests that are marked with it) as they are done."""
    marks = marked()
    with tempfile.TemporaryDirectory() as folder:
        pending, running = list(enumerate(defences)), dict[int, tuple[int, Defence, float]]()
        while pending or running:
            while pending and len(running) < processes:
                number, one = pending.pop(0)
                tests = sorted({name for attack in one.attacks for name in marks[attack]})
                child = os.fork()
                if child == 0:
                    os.setpgid(0, 0)
                    try:
                        run(one, tests, Path(folder) / str(number))
                    finally:
                        os._exit(0)
                running[child] = number, one, time.monotonic()
            done, _ = os.waitpid(-1, os.WNOHANG)
            if not done:
                for child, (_, _, began) in running.items():
                    if time.monotonic() - began > SECONDS:
                        os.killpg(child, 9)
                time.sleep(0.05)
                continue
            number, one, _ = running.pop(done)
            told = Path(folder) / str(number)
            red = pickle.loads(told.read_bytes())[1] if told.exists() else set()
            yield one, {attack: sorted(red.intersection(marks[attack])) for attack in one.attacks}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="numbers of attacks, with commas")
    parser.add_argument("--quick", action="store_true", help="the few that every run of the suite takes out")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="name the defences and take none out")
    given = parser.parse_args()
    wanted = {int(one) for one in given.only.split(",") if one} or set(ATTACKS)
    chosen = [one for one in DEFENCES if wanted.intersection(one.attacks) and (one.quick or not given.quick)]
    if given.list:
        for one in chosen:
            print(*one.attacks, one.path, one.before.strip().splitlines()[0], sep="  ")
        return 0
    for name in HEAVY.split():
        importlib.import_module(name)
    began, unmoved = time.monotonic(), 0
    for one, red in taken_out(chosen, given.processes):
        for attack, names in red.items():
            if attack in wanted:
                unmoved += not names
                said = f"red: {len(names)} ({names[0].split('::')[1]})" if names else "STILL GREEN"
                print(f"{attack:3}  {one.path}  {said}", flush=True)
    attacks = {attack for one in chosen for attack in one.attacks} & wanted
    print(
        f"{len(chosen)} defences taken out, {len(attacks)} attacks, {unmoved} still green, {time.monotonic() - began:.0f} s"
    )
    return 1 if unmoved else 0


if __name__ == "__main__":
    sys.exit(main())
