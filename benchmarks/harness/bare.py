"""The yardstick: the web framework with nothing in it, served as the registry is.

python -m benchmarks.harness.bare PORT WORKERS THREADS
"""

from __future__ import annotations

import sys

from flask import Flask, Response
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

app = Flask(__name__, static_folder=None)


@app.get("/health/ready")
def answer() -> Response:
    return Response('{"status":"ready"}', content_type="application/json")


def main() -> None:
    port, workers, threads = map(int, sys.argv[1:4])
    Granian(
        "benchmarks.harness.bare:app",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        log_level=LogLevels.warning,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
