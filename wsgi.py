"""The WSGI entry: `granian --interface wsgi wsgi:app`, `flask --app wsgi COMMAND`."""

from app import create_app
from app.config import Settings

app = create_app(Settings.from_environ())
