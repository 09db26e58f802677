"""The suite keeps its own laws: nothing leaves the machine, and a missing part is never passed over in silence in CI."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from tests.support import parts
from tests.support.network import Blocked

ROOT = Path(__file__).parents[2]
FAR = ("192.0.2.1", 80)  # RFC 5737: nobody's


def test_no_test_connects_to_another_machine() -> None:
    with socket.socket() as stream, pytest.raises(Blocked):
        stream.connect(FAR)
    with socket.socket() as stream, pytest.raises(Blocked):
        stream.connect_ex(FAR)
    with socket.socket(type=socket.SOCK_DGRAM) as datagram, pytest.raises(Blocked):
        datagram.sendto(b"x", FAR)


def test_no_test_looks_up_a_name() -> None:
    with pytest.raises(Blocked):
        socket.create_connection(("registry.example", 443))
    with pytest.raises(Blocked):
        requests.get("http://registry.example/", timeout=1)


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()
        socket.create_connection(("localhost", listener.getsockname()[1])).close()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(parts.PARTS, "scanner", parts.Part(lambda: None, "apt-get install scanner"))
    return "scanner"


def test_a_missing_part_skips_with_the_line_that_installs_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="as root: apt-get install scanner"):
        parts.needed("postgresql" if parts.PARTS["postgresql"].there() else missing, missing)


def test_a_missing_part_fails_where_it_must_be_there(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install scanner"):
        parts.needed(missing)


def test_a_part_that_nobody_knows_cannot_be_required() -> None:
    with pytest.raises(AssertionError, match="no such part"):
        parts.requires("teleporter")


def test_what_tests_may_require_is_what_make_test_installs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installed = makefile.split("DEBIAN :=")[1].splitlines()[0].split()
    assert set(parts.PARTS) == set(installed)


def test_every_test_file_says_what_it_is_about() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        assert path.read_text().startswith('"""'), path.relative_to(ROOT)


def test_tests_are_sentences() -> None:
    """A name such as test_search_2 says nothing of what broke."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for line in path.read_text().splitlines():
            if line.startswith("def test_"):
                words = line.removeprefix("def test_").split("(")[0].split("_")
                assert len(words) >= 3, f"{path.relative_to(ROOT)}: {line}"
