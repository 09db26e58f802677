"""A module with another source in its place, for one process: nothing is written, and pytest runs as ever."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]

# Loaded once, before the processes divide; nothing of app, whose modules the mutants replace.
HEAVY = "pytest hypothesis.stateful jsonschema jsonschema_rs sqlalchemy psycopg flask alembic.command fhir.resources.R4B lxml.etree"
HEAVY += " authlib.oauth2 joserfc cryptography.fernet requests structlog prometheus_client orjson rich.console pydicom"

# What was loaded before pytest began is not rewritten by it, and says so.
OPTIONS = [
    "-q",
    "-n",
    "0",
    "-p",
    "no:cacheprovider",
    "--no-header",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]


class Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the module of a file with another source in its place."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        package = self.path.name == "__init__.py"
        spec = importlib.util.spec_from_loader(name, self, origin=str(self.path), is_package=package)
        if spec is not None and package:
            spec.submodule_search_locations = [str(self.path.parent)]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)
