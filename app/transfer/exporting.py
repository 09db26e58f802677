"""`export`: a file for each type. A state file beside them says how far it has come, until it is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.interactions import Asked, Services
from app.interactions.exporting import EXPORTED, page
from app.storage.transfers import BEGINNING, Place

STATE = ".export.json"


@dataclass
class Exported:
    """How many resources of each type are in the files."""

    resources: dict[str, int] = field(default_factory=dict)


@dataclass
class _State:
    """`done` are types that are written whole; of `type` so many bytes are, up to `place`."""

    done: list[str] = field(default_factory=list)
    type: str = ""
    bytes: int = 0
    place: Place = BEGINNING


def export(
    services: Services,
    asked: Asked,
    folder: Path,
    types: tuple[str, ...] = EXPORTED,
    told: Callable[[str, int], None] = lambda _type, _count: None,
) -> Exported:
    """Write the types to `folder`, going on where an export that broke off has stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    state = _load(folder)
    report = Exported()
    for type_name in types:
        path = folder / f"{type_name}.ndjson"
        if type_name not in state.done:
            if state.type != type_name:
                state = _State(state.done, type_name)
            _write(services, asked, folder, path, state, told)
            state.done.append(type_name)
            _save(folder, state)
        report.resources[type_name] = _lines(path)
        if not report.resources[type_name]:
            path.unlink(missing_ok=True)
            del report.resources[type_name]
    (folder / STATE).unlink(missing_ok=True)
    return report


def _write(
    services: Services, asked: Asked, folder: Path, path: Path, state: _State, told: Callable[[str, int], None]
) -> None:
    with path.open("ab") as file:
        file.truncate(state.bytes)  # what was written after the state was saved is written again
        file.seek(0, os.SEEK_END)
        while found := page(services, asked, state.type, state.place):
            file.writelines(one.content + b"\n" for one in found)
            _synced(file)
            state.bytes, state.place = file.tell(), (found[-1].updated, found[-1].rid)
            _save(folder, state)
            told(state.type, len(found))


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _load(folder: Path) -> _State:
    try:
        said = json.loads((folder / STATE).read_text())
        return _State(said["done"], said["type"], said["bytes"], tuple(said["place"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _State()


def _save(folder: Path, state: _State) -> None:
    written = folder / f"{STATE}.new"
    with written.open("wb") as file:
        said = {"done": state.done, "type": state.type, "bytes": state.bytes, "place": list(state.place)}
        file.write(json.dumps(said).encode())
        _synced(file)
    written.replace(folder / STATE)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
