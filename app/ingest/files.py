"""Files, folders, DICOMDIR and zip to datasets: each file gives a dataset or a reason why it does not.

PS3.10. Pixel data is never read, of a dataset only the listed elements. Everything that a file can make grow is
bounded: members and bytes of a zip, the header of a member, what a deflated dataset unpacks to.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from app.ingest.datasets import HEADER_MAX, MEGABYTE, Bounded, Refused, is_directory, read

DIRECTORY_TAGS: list[str] = ["SpecificCharacterSet", "DirectoryRecordSequence"]
MEMBERS_MAX = 200_000
UNPACKED_MAX = 4096 * MEGABYTE  # bytes read from all members of one zip


@dataclass(frozen=True, slots=True)
class Read:
    """A dataset and the name of the file that it came from."""

    name: str
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    reason: str


def read_all(paths: Iterable[Path]) -> Iterator[Read | Skipped]:
    """Every file under `paths` once, in a fixed order. Files that a DICOMDIR names are read wherever it is given."""
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            yield Skipped(str(path), "does not exist")
        elif path.is_dir():
            for inner in walk(path):
                if isinstance(inner, Skipped):
                    yield inner
                else:
                    yield from _each(inner, seen)
        else:
            yield from _each(path, seen)


def walk(folder: Path) -> Iterator[Path | Skipped]:
    """The regular files below `folder`, sorted. Links that lead out of it are not followed."""
    for place, folders, files in os.walk(folder, onerror=None):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                yield Skipped(str(path), "is a link that leads out of the folder")
            elif not _regular(path):
                yield Skipped(str(path), "is not a regular file")
            else:
                yield path


def count(paths: Iterable[Path]) -> int:
    """How many files `read_all` will look at, but for what is inside zips: the length of a progress bar."""
    return sum(sum(1 for _ in walk(path)) if path.is_dir() else 1 for path in paths)


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _each(path: Path, seen: set[Path]) -> Iterator[Read | Skipped]:
    real = path.resolve()
    if real in seen:
        return
    seen.add(real)
    name = str(path)
    try:
        with path.open("rb") as stream:
            if stream.read(4) == b"PK\x03\x04":
                yield from _zip(path)
                return
            stream.seek(0)
            dataset = read(stream)
    except Refused as error:
        yield Skipped(name, str(error))
        return
    except OSError as error:
        yield Skipped(name, f"could not be read: {(error.strerror or 'unknown reason').lower()}")
        return
    if is_directory(dataset):
        yield from _directory(path, seen)
    else:
        yield Read(name, dataset)


def _zip(path: Path) -> Iterator[Read | Skipped]:
    left = UNPACKED_MAX
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((one for one in archive.infolist() if not one.is_dir()), key=lambda one: one.filename)
            if len(members) > MEMBERS_MAX:
                yield Skipped(str(path), f"has more than {MEMBERS_MAX} members; unpack it first")
                return
            for member in members:
                name = f"{path}:{member.filename}"
                if member.flag_bits & 1:
                    yield Skipped(name, "is encrypted")
                    continue
                if left <= 0:
                    yield Skipped(name, "comes after the limit of what is unpacked of one zip; unpack it first")
                    continue
                bounded: Bounded | None = None
                try:
                    with archive.open(member) as inner:
                        bounded = Bounded(cast(BinaryIO, inner), min(HEADER_MAX, left))
                        stream = io.BufferedReader(bounded, MEGABYTE)
                        if stream.peek(4)[:4] == b"PK\x03\x04":
                            raise Refused("is a zip inside a zip; unpack it first")
                        dataset = read(cast(BinaryIO, stream))
                    if is_directory(dataset):
                        raise Refused("is a DICOMDIR inside a zip; the files beside it were read without it")
                    yield Read(name, dataset)
                except Refused as error:
                    yield Skipped(name, str(error))
                except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError):
                    yield Skipped(name, "could not be unpacked")
                finally:
                    left -= bounded.given if bounded else 0
    except zipfile.BadZipFile:
        yield Skipped(str(path), "is a damaged zip")


def _directory(path: Path, seen: set[Path]) -> Iterator[Read | Skipped]:
    """The files that a DICOMDIR (PS3.3 annex F) refers to. It may name only files in its own folder or below."""
    yield Skipped(str(path), "is a directory of files (DICOMDIR); the files that it lists were read")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            records = list(dcmread(path, specific_tags=DIRECTORY_TAGS).get("DirectoryRecordSequence") or ())
            listed = [record.get("ReferencedFileID") for record in records]
        except Exception:  # as above
            yield Skipped(str(path), "is a damaged DICOMDIR")
            return
    for file_id in listed:
        if not file_id:
            continue
        parts = [file_id] if isinstance(file_id, str) else [str(part) for part in file_id]
        target = _listed(path.parent, parts)
        if target is None:
            yield Skipped("/".join([str(path), *parts]), "is listed in the DICOMDIR and not there")
        else:
            yield from _each(target, seen)


def _listed(folder: Path, parts: list[str]) -> Path | None:
    """The file that a DICOMDIR means, whatever the case of the file system's names."""
    place = folder
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\\" in part or "\0" in part:
            return None
        exact = place / part
        if not exact.exists():
            same = [one for one in _entries(place) if one.name.upper() == part.upper()]
            if len(same) != 1:
                return None
            exact = same[0]
        place = exact
    inside = place.resolve().is_relative_to(folder.resolve())
    return place if inside and _regular(place) else None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
