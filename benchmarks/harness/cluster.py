"""A PostgreSQL of the benchmark's own, with the settings of a production server: nothing of durability is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import postgres


def settings() -> dict[str, str]:
    """A quarter of the memory, at most 4 GB, for shared buffers, as the manual advises; the rest mostly the defaults."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    buffers = max(128, min(4096, memory // 4))
    return {
        "listen_addresses": "127.0.0.1",
        "max_connections": "200",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "autovacuum": "on",
        "shared_buffers": f"{buffers}MB",
        "effective_cache_size": f"{memory // 2}MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "wal_compression": "on",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
    }


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A new cluster below `folder`, which must be on a disk; the URL of its databases without a name."""
    url = postgres.start(folder, settings())
    try:
        yield url
    finally:
        postgres.stop(folder)
