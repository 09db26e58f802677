"""The commands of `flask --app wsgi`: each room brings its own, and is imported only when one of them is called."""

from __future__ import annotations

import importlib

import click
from flask import Flask
from flask.cli import AppGroup

# command: (module, name in it)
COMMANDS = {
    "db": ("app.storage.cli", "db"),
    "demo": ("app.demo.cli", "demo"),
    "client": ("app.smart.cli", "client"),
    "token": ("app.smart.cli", "token"),
    "user": ("app.smart.users", "user"),
    "keys": ("app.smart.users", "keys"),
    "ingest": ("app.ingest.cli", "ingest"),
    "harvest": ("app.ingest.cli", "harvest"),
    "identity": ("app.ingest.identity_cli", "identity"),
    "import": ("app.transfer.cli", "import_"),
    "export": ("app.transfer.cli", "export_"),
    "worker": ("app.notifications.cli", "worker"),
    "gate": ("app.archives.cli", "gate"),
    "subscription": ("app.notifications.cli", "subscription"),
    "explain": ("app.access.cli", "explain"),
    "policy": ("app.access.cli", "policy"),
    "audit": ("app.access.audit_cli", "audit"),
}


class Commands(AppGroup):
    """The table above as a click group. A web server never pays for what only a command needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, name = COMMANDS[cmd_name]
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        return super().get_command(ctx, cmd_name)


def register(app: Flask) -> None:
    """Put every command at the application's command line."""
    app.cli = Commands(app.name)
