"""What `make run` says on a machine that lacks something: what is missing and how it is had, and nothing half made."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOOLS = ("bash", "dirname", "env")


def machine(folder: Path, **commands: str) -> Path:
    """A folder with the project's scripts, and the only commands that there are."""
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    there = folder / "bin"
    there.mkdir()
    for name in TOOLS:
        (there / name).symlink_to(str(shutil.which(name)))
    for name, body in {"id": "echo 1000", "dpkg": "exit 1", **commands}.items():
        (there / name).write_text(f"#!/bin/sh\n{body}\n")
        (there / name).chmod(0o755)
    return folder


def environment(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(folder / ".ci" / "environment"), "requirements.txt"]
    return subprocess.run(command, env={"PATH": str(folder / "bin")}, capture_output=True, text=True)


def test_without_a_python_that_is_new_enough_it_says_which_is_wanted(tmp_path: Path) -> None:
    done = environment(machine(tmp_path, python3="exit 1"))
    assert done.returncode == 1
    assert done.stderr == (
        "no Python 3.11 or later is on the path; install one, or name it: make run PYTHON=/path/to/python3\n"
    )


def test_without_the_means_to_make_an_environment_it_says_which_package_has_them(tmp_path: Path) -> None:
    python = 'case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac'
    done = environment(machine(tmp_path, python3=python))
    assert done.returncode == 1
    assert done.stderr == (
        "not installed: python3-venv (as root: apt-get install python3-venv)\n"
        "python3 cannot make a virtual environment: it lacks ensurepip, on Debian the package python3-venv\n"
    )
    assert not (tmp_path / ".venv").exists()
