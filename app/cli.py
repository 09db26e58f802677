"""The commands of `flask --app wsgi`: each room brings its own, and is imported only when one of them runs."""

from __future__ import annotations

import importlib

import click
from flask import Flask

# command: (module, name in it)
COMMANDS = {
    "db": ("app.storage.cli", "db"),
    "client": ("app.smart.cli", "client"),
    "token": ("app.smart.cli", "token"),
    "demo": ("app.demo.cli", "demo"),
    "ingest": ("app.ingest.cli", "ingest"),
    "explain": ("app.access.cli", "explain"),
    "policy": ("app.access.cli", "policy"),
}


def register(app: Flask) -> None:
    """Put every command at the application's command line."""
    for module, name in COMMANDS.values():
        command: click.Command = getattr(importlib.import_module(module), name)
        app.cli.add_command(command)
