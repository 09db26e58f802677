"""The mutation run over app/policy: each comparison inverted, and each boundary moved, must make a test red.

`python -m tests.mutation [--only TEXT] [--quick] [--processes N] [--seconds S] [--list]`

Each mutant is loaded in a process of its own in the place of the module; nothing is written. The tests that need no
database go first; what survives them meets those that do, unless the run is to be quick. Exit status 1 if any survives that survivors.txt does not
explain. A process of its own and an import hook make this some ten times as fast as the tools on the package index, which
start an interpreter and edit files for each mutant.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.mutation.mutants import ROOT, Mutant, of_policy
from tests.mutation.replaced import HEAVY, OPTIONS, Replaced

QUICK = ("tests/unit/policy",)
PURE = ("tests/properties/test_decision_properties.py",)
THOROUGH = ("tests/properties/test_predicate_agrees.py", "tests/doors", "tests/conformance/test_sharing.py")


def survives(mutant: Mutant | None, stages: Sequence[tuple[str, ...]], seconds: float) -> bool:
    """Whether all tests pass with the mutant in its place (or, without one, with the code as it is)."""
    return all(_passes(mutant, tests, seconds) for tests in stages)


def _passes(mutant: Mutant | None, tests: tuple[str, ...], seconds: float) -> bool:
    """In a process of its own; a test that does not end counts as red."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os._exit(_tested(mutant, [one for one in tests if (ROOT / one).exists()]))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _tested(mutant: Mutant | None, tests: list[str]) -> int:
    import pytest

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    if mutant is not None:
        sys.meta_path.insert(0, Replaced(mutant.path, mutant.source))
    os.chdir(ROOT)
    try:
        return int(pytest.main(["-x", *OPTIONS, *tests]))
    except BaseException:
        return 1


def divided(
    mutants: list[Mutant], stages: Sequence[tuple[str, ...]], processes: int, seconds: float
) -> Iterator[tuple[Mutant, bool]]:
    """(mutant, whether it survived) as they are done."""
    pending, running = list(mutants), {}
    while pending or running:
        while pending and len(running) < processes:
            mutant = pending.pop(0)
            child = os.fork()
            if child == 0:
                os._exit(1 if survives(mutant, stages, seconds) else 0)
            running[child] = mutant
        done, status = os.waitpid(-1, 0)
        yield running.pop(done), os.waitstatus_to_exitcode(status) != 0


def explained() -> dict[str, str]:
    """Mutants that mean the same as the code, with the reason: `file  before  ->  after  # why`, without the line."""
    lines = (Path(__file__).parent / "survivors.txt").read_text().splitlines()
    parts = (line.split("  # ", 1) for line in lines if line.strip() and not line.startswith("#"))
    return {mutant.strip(): why for mutant, why in parts}


def unnumbered(mutant: Mutant) -> str:
    """A mutant's name that outlives a change of lines above it."""
    return f"{mutant.path.name}  {mutant.before}  ->  {mutant.after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose name has this text")
    parser.add_argument("--quick", action="store_true", help="only the tests that need no database")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=300, help="the longest that the tests of one mutant may take")
    parser.add_argument("--list", action="store_true", help="name the mutants and try none")
    given = parser.parse_args()
    mutants = [mutant for mutant in of_policy() if given.only in mutant.name]
    if given.list:
        print("\n".join(mutant.name for mutant in mutants))
        return 0
    for name in HEAVY.split():
        importlib.import_module(name)
    stages = (QUICK, PURE) if given.quick else (QUICK, PURE, THOROUGH)
    if not survives(None, stages, given.seconds):
        print("the tests are red without any mutant; expected them green")
        return 2
    known, alive, began = explained(), 0, time.monotonic()
    for number, (mutant, survived) in enumerate(divided(mutants, stages, given.processes, given.seconds), 1):
        if survived:
            why = known.get(unnumbered(mutant))
            alive += why is None
            print(f"{'same' if why else 'ALIVE'}: {mutant.name}{f'  ({why})' if why else ''}", flush=True)
        if number % 25 == 0:
            print(f"{number} of {len(mutants)} tried, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{len(mutants)} mutants, {alive} alive and not explained, in {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
