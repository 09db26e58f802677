"""The archive's side of the proxy: one request to a configured archive, and its answer as it comes, byte by byte.

Nothing of the requester's but what it accepts, which bytes it wants and its trace goes up; of what comes back, only the type, the
length and the validators go down. No redirect is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from app import tracing
from app.archives.configured import Archive

PIECE = 65_536
CONNECT_SECONDS = 3.0
UP = ("Accept", "Range", "If-Range")
LONGEST = 1024
DOWN = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")
JSON = "application/dicom+json"
# What images and what describes them come as. Anything else could be a page of the archive's, at our origin.
TYPES = (
    "multipart/related",
    JSON,
    "application/dicom",
    "application/dicom+xml",
    "application/json",
    "application/octet-stream",
)
FAMILIES = ("image/", "video/")
PAGES = ("image/svg+xml",)


class Failed(Exception):
    """The archive gave nothing that may go on. `status` is what the requester is told."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass
class Streamed:
    """An answer that is under way. It is read once; `close` ends the archive's side whether or not it was read."""

    status: int
    headers: dict[str, str]
    answer: urllib3.BaseHTTPResponse
    replace: tuple[bytes, bytes] | None = None
    _over: bool = field(default=False)

    def __iter__(self) -> Iterator[bytes]:
        pieces = self.answer.stream(PIECE, decode_content=False)
        yield from pieces if self.replace is None else replaced(pieces, *self.replace)
        self._over = True

    def close(self) -> None:
        if self._over:
            self.answer.release_conn()
        else:
            self.answer.close()


def replaced(pieces: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    """The bytes with one text for another, wherever the pieces are cut."""
    kept = b""
    for piece in pieces:
        whole = (kept + piece).replace(old, new)
        # What could be the beginning of `old` waits for the next piece.
        most = min(len(old) - 1, len(whole))
        size = next((n for n in range(most, 0, -1) if old.startswith(whole[-n:])), 0)
        kept = whole[len(whole) - size :]
        if size < len(whole):
            yield whole[: len(whole) - size]
    if kept:
        yield kept


class Upstream:
    """Connections to one archive, kept and used again; for any number of threads. `shown`: media types that come
    through instead of those of images."""

    def __init__(self, archive: Archive, shown: tuple[str, ...] | None = None) -> None:
        self.archive = archive
        self.shown = shown
        options = {"ca_certs": archive.ca_file or certifi.where()} if archive.address.startswith("https:") else {}
        self._pool = urllib3.connection_from_url(
            archive.address,
            maxsize=16,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=archive.timeout),
            **options,
        )

    def get(self, path: str, query: str, headers: Mapping[str, str], own: str) -> Streamed:
        """Ask the archive. `own` is the address that stands for the archive's base in what describes images. Raises
        Failed."""
        base = urlsplit(self.archive.address).path
        given = {name: headers[name] for name in UP if name in headers and len(headers[name]) <= LONGEST}
        given |= {"Accept-Encoding": "identity", "User-Agent": "imaging-registry"} | self.archive.authorization()
        given |= tracing.onward()
        target = base + path + (f"?{query}" if query else "")
        try:
            answer = self._pool.urlopen(
                "GET", target, headers=given, preload_content=False, redirect=False, decode_content=False
            )
        except HTTPError:
            raise Failed(503, "the archive does not answer; try again") from None
        try:
            return self._streamed(answer, own)
        except BaseException:
            answer.close()
            raise

    def _streamed(self, answer: urllib3.BaseHTTPResponse, own: str) -> Streamed:
        if answer.status in (401, 403, 407):
            raise Failed(502, "the archive does not know the registry; its keeper is to look at the configuration")
        if answer.status in (429, 503):
            raise Failed(503, "the archive is busy; try again")
        if answer.status in (400, 404, 406, 410, 415, 416):
            raise Failed(answer.status, "the archive has nothing of this kind")
        if answer.status not in (200, 204, 206, 304):
            raise Failed(502, "the archive failed to answer")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.status in (200, 206) and not self._comes_through(kind):
            raise Failed(502, "the archive answered with something that is no image")
        kept = {name: answer.headers[name] for name in DOWN if name in answer.headers}
        base = self.archive.address
        replace = None
        if kind in (JSON, "application/json") and base != own:
            replace = (base.encode(), own.encode())
            kept.pop("Content-Length", None)
        return Streamed(answer.status, kept, answer, replace)

    def _comes_through(self, kind: str) -> bool:
        return showable(kind) if self.shown is None else kind in self.shown


def showable(kind: str) -> bool:
    """Whether a media type is one of images, or of what describes them."""
    return kind in TYPES or (kind.startswith(FAMILIES) and kind not in PAGES)
