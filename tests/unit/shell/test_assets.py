"""The style sheet is unpacked by every Python that the project says it runs on, the first 3.11 of Debian 12 among them."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from app import assets

PYTHONS = sorted({sys.executable, *filter(None, (shutil.which("python3", path="/usr/bin"),))})


def packed(folder: Path, **files: str) -> Path:
    archive = folder / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive


@pytest.mark.parametrize("python", PYTHONS)
def test_a_package_is_unpacked_by_the_python_at_hand(python: str, tmp_path: Path) -> None:
    archive = packed(tmp_path, **{"package/dist/sheet.css": "a{}", "package/README.md": "no"})
    script = (
        "import runpy, sys, pathlib; unpack = runpy.run_path(sys.argv[1])['unpack'];"
        "unpack(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), lambda name: name.endswith('.css'))"
    )
    into = tmp_path / "into"
    subprocess.run([python, "-I", "-c", script, assets.__file__, str(archive), str(into)], check=True)
    assert [path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()] == [
        "package/dist/sheet.css"
    ]
    assert (into / "package/dist/sheet.css").read_text() == "a{}"


def test_a_package_that_reaches_outside_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not below its folder"):
        assets.unpack(packed(tmp_path, **{"../outside": "x"}), tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_where_nothing_can_be_fetched_the_pages_are_plain_and_the_installation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(assets, "FOLDER", tmp_path / "nowhere")
    assets.main()
    assert "the pages will be plain" in capsys.readouterr().err
    assert not assets.there()
