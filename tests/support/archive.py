"""The demo archive in a thread, as an archive that stands behind the proxy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server

from app.demo.archive import Quiet, archive

PASSWORD = "archive-password"


@contextmanager
def served(app: Callable[..., Iterable[bytes]] | None = None) -> Iterator[str]:
    """The address of the archive (or of another WSGI application in its place); stopped at the end."""
    server: Any = make_server("127.0.0.1", 0, app or archive(PASSWORD), threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
