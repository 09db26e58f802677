"""One DICOM file to a dataset: the listed elements, up to the pixels, from a stream that may be anything.

PS3.10 with and without its preamble; deflated datasets (PS3.5 A.5) are unpacked no further than a header can need.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any, BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, dcmread, read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from app.ingest.mapping import TAGS

MEGABYTE = 1 << 20
HEADER_MAX = 64 * MEGABYTE  # bytes of one packed file read before its pixels
GROUP_0008 = struct.pack("<H", 0x0008)
PIXELS = 0x7FE00008
DIRECTORY: str = str(MediaStorageDirectoryStorage)


class Refused(ValueError):
    """A file that cannot be used; the text is the reason for the report."""


class Bounded(io.RawIOBase):
    """A readable stream that refuses to give more than `limit` bytes in all."""

    name = ""  # pydicom asks every stream for one

    def __init__(self, inner: BinaryIO, limit: int) -> None:
        self.inner = inner
        self.limit = limit
        self.given = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, to: int, whence: int = 0) -> int:
        # Seeking in a compressed member unpacks what is passed over, so it counts as reading.
        before = self.inner.tell()
        if whence == 2 or (whence == 0 and to > before + self.limit) or (whence == 1 and to > self.limit):
            raise Refused("unpacks to more than is read of one file")
        after = self.inner.seek(to, whence)
        self._count(after - before if after > before else after)
        return after

    def tell(self) -> int:
        return self.inner.tell()

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)

    def _count(self, size: int) -> None:
        self.given += size
        if self.given > self.limit:
            raise Refused("unpacks to more than is read of one file")


def read(stream: BinaryIO) -> Dataset:
    """The listed elements of one file, up to its pixels. Raises Refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            head = stream.read(132)
            stream.seek(0)
            if head[128:132] != b"DICM" and head[:2] not in (GROUP_0008, b"\x02\x00"):
                raise Refused("is not a DICOM file")
            if head[128:132] == b"DICM" and _deflated(stream):
                return _inflated(stream)
            dataset = dcmread(
                stream, stop_before_pixels=True, force=True, specific_tags=[*TAGS, "DirectoryRecordSequence"]
            )
            if head[128:132] != b"DICM" and "SOPInstanceUID" not in dataset:
                raise Refused("is not a DICOM file")
            return dataset
        except (Refused, OSError):
            raise
        except InvalidDicomError:
            raise Refused("is not a DICOM file") from None
        except Exception:  # pydicom raises whatever a damaged file makes it meet
            raise Refused("is a damaged DICOM file") from None


def _meta(stream: BinaryIO) -> FileMetaDataset:
    stream.seek(132)
    return _read_file_meta_info(stream)


def _deflated(stream: BinaryIO) -> bool:
    syntax = str(_meta(stream).get("TransferSyntaxUID", ""))
    stream.seek(0)
    return syntax == DeflatedExplicitVRLittleEndian


def _inflated(stream: BinaryIO) -> Dataset:
    """A deflated dataset as far as its pixels; one whose header does not end within HEADER_MAX is refused."""
    meta = _meta(stream)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    data = unpacker.decompress(stream.read(HEADER_MAX), HEADER_MAX)
    reached = unpacker.eof

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal reached
        here = int(tag) >= PIXELS
        reached = reached or here
        return here

    wanted: list[BaseTag | int] = [Tag(name) for name in TAGS]
    dataset = read_dataset(io.BytesIO(data), False, True, stop_when=at_pixels, specific_tags=wanted)
    if not reached:
        raise Refused("unpacks to more than is read of one file")
    dataset.file_meta = meta
    return dataset


def is_directory(dataset: Dataset) -> bool:
    """Whether this is a DICOMDIR."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    found: str = str(meta.get("MediaStorageSOPClassUID", ""))
    return bool(found == DIRECTORY)
