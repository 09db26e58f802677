"""The WSGI entry: `granian --interface wsgi wsgi:app`, `flask --app wsgi COMMAND`."""

import os

from app import create_app
from app.config import Settings
from app.serving import behind, refuse_unsafe, settle

settings = Settings.from_environ()
app = create_app(settings)
settings.mark_keys()
if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
    refuse_unsafe(app)
    behind(app)
    settle()
