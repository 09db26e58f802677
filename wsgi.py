"""The WSGI entry: `granian --interface wsgi wsgi:app`, `flask --app wsgi COMMAND`."""

import os

from app import create_app
from app.config import Settings
from app.serving import refuse_unsafe

app = create_app(Settings.from_environ())
if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
    refuse_unsafe(app)
