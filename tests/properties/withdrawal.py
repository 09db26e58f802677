"""Withdrawal at once: whatever a change of consent or care closes is closed for the very next request on every worker.

`python -m tests.properties.withdrawal [--iterations N] [--workers N] [--dburl URL]`

One writer closes and opens access in turn, by consents, episodes, merges and labels. The workers, each a process with an
application and caches of its own, search and read without pause. A request that began after a change was acknowledged,
and ended before the next one began, must show the world as that change left it: an iteration is one such answer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from app import create_app
from app.config import Settings
from app.storage import schema
from tests.support.region import Caller, caller, consent, episode, organization, patient, settle, study

CONTEXT = multiprocessing.get_context("spawn")
PATIENCE_SECONDS = 120
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
REPLACES = {"link": [{"type": "replaces", "other": {"reference": "Patient/p0"}}]}
ALL_BUT_RESTRICTED = {
    "type": "permit",
    "provision": [{"type": "deny", "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]}],
}


def labelled(code: str) -> dict[str, Any]:
    return study(meta={"security": [{"system": CONFIDENTIALITY, "code": code}]})


def care(**more: Any) -> dict[str, Any]:
    """The episode at B's site by which B sees the study."""
    return episode(ods=more.pop("ods", "RXB01"), **more)


# (what closes, what opens again): every kind of fact that a decision about p1's study for trust B rests on.
CHANGES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (consent(), consent(status="inactive")),
    (consent("c2", "deny"), consent("c2", provision=ALL_BUT_RESTRICTED)),
    (labelled("R"), labelled("N")),
    (care(status="finished"), care()),
    (care(subject="p0"), care()),
    (care(ods="RXC"), care()),
    (organization("RXB01", "RXC"), organization("RXB01", "RXB")),
    (patient() | REPLACES, patient()),
)


@dataclass(frozen=True)
class Outcome:
    """`checked` answers that had to be right, of `asked` in all; `stale` says what was wrong with each that was not."""

    asked: int
    checked: int
    changes: int
    stale: tuple[str, ...]


def settings(dburl: str, folder: Path) -> Settings:
    return Settings(database_url=dburl, keys_dir=str(folder / "keys"), log_level="error")


def run(dburl: str, folder: Path, iterations: int, workers: int = 3) -> Outcome:
    """Change and ask until `iterations` answers were checked, and each change was made. `dburl` names a migrated, empty database."""
    app = create_app(settings(dburl, folder))
    steward = settle(app)
    prepare(steward)
    token = caller(app).token
    # An odd number while a change is under way; half of it, rounded down, counts the changes.
    turn: Synchronized[int] = CONTEXT.Value("q", 0)  # type: ignore[assignment]
    checked = [CONTEXT.Value("q", 0) for _ in range(workers)]
    stopping = CONTEXT.Event()
    results: Any = CONTEXT.Queue()
    asking = [
        CONTEXT.Process(target=ask, args=(dburl, str(folder), token, turn, mine, stopping, results)) for mine in checked
    ]
    for one in asking:
        one.start()
    try:
        until = time.monotonic() + PATIENCE_SECONDS + iterations / 20
        while time.monotonic() < until and (
            sum(mine.value for mine in checked) < iterations or turn.value < 4 * len(CHANGES)
        ):
            change(steward, turn)
            before = [mine.value for mine in checked]
            # Every worker is to have answered to this change before the next.
            while any(mine.value == old for mine, old in zip(checked, before, strict=True)):
                if time.monotonic() > until or not all(one.is_alive() for one in asking):
                    break
                time.sleep(0.0005)
    finally:
        stopping.set()
        found = [results.get(timeout=PATIENCE_SECONDS) for _ in asking]
        for one in asking:
            one.join(PATIENCE_SECONDS)
        app.extensions["services"].store.close()
    stale = tuple(text for _, texts in found for text in texts)
    return Outcome(sum(asked for asked, _ in found), sum(mine.value for mine in checked), turn.value // 2, stale)


def prepare(steward: Caller) -> None:
    """p0, of whom p1's record may become a part, opted out; c2 permits all but what is restricted."""
    opted_out = (patient("p0", "9990000034"), consent("c0", subject="p0"))
    for one in (*opted_out, consent("c2", provision=ALL_BUT_RESTRICTED), care(), labelled("N")):
        assert steward.put(f"/{one['resourceType']}/{one['id']}", one).status_code in (200, 201)


def change(steward: Caller, turn: Synchronized[int]) -> None:
    """The next change: closing in even turns, opening in odd ones."""
    number = turn.value // 2
    resource = CHANGES[number // 2 % len(CHANGES)][number % 2]
    turn.value += 1
    answer = steward.put(f"/{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in (200, 201), answer.text
    turn.value += 1


def ask(
    dburl: str, folder: str, token: str, turn: Synchronized[int], mine: Synchronized[int], stopping: Event, results: Any
) -> None:
    """A web worker: search and read until told to stop. Closed after an odd number of changes, open after an even one."""
    app = create_app(settings(dburl, Path(folder)))
    me = Caller(app.test_client(), token)
    asked, stale = 0, []
    while not stopping.is_set():
        before = turn.value
        shown, what = seen(me, asked)
        asked += 1
        if before % 2 == 0 and turn.value == before:
            mine.value += 1
            if shown != (before // 2 % 2 == 0) and len(stale) < 20:
                stale.append(f"after change {before // 2}: {what} {'showed' if shown else 'did not show'} the study")
    app.extensions["services"].store.close()
    results.put((asked, stale))


def seen(me: Caller, number: int) -> tuple[bool, str]:
    """Whether the study shows, by one door after another."""
    if number % 3 == 0:
        return me.get("/ImagingStudy/s1").status_code == 200, "a read"
    if number % 3 == 1:
        answer = me.get("/ImagingStudy?patient=p1&_include=ImagingStudy:endpoint")
        return answer.status_code == 200 and bool(answer.json.get("entry")), "a search that names the patient"
    return "s1" in me.ids("/ImagingStudy?modality=CT"), "a search of everything"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dburl", help="an empty database; a temporary SQLite if not given")
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dburl = given.dburl or f"sqlite:///{folder}/registry.db"
        app = create_app(settings(dburl, Path(folder)))
        schema.upgrade(app.extensions["services"].store)
        app.extensions["services"].store.close()
        began = time.monotonic()
        found = run(dburl, Path(folder), given.iterations, given.workers)
    print(
        f"{found.checked} answers of {given.workers} workers checked after {found.changes} changes,"
        f" {len(found.stale)} stale, in {time.monotonic() - began:.0f} s"
    )
    for text in found.stale:
        print(text)
    raise SystemExit(1 if found.stale or found.checked < given.iterations else 0)


if __name__ == "__main__":
    main()
