import pytest, uuid
from sqlalchemy import create_engine, text
from app.storage.engine import Store
from app.storage.tables import metadata

@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/t.db"
    else:
        name = "t" + uuid.uuid4().hex[:10]
        admin = create_engine("postgresql+psycopg://postgres@127.0.0.1:54999/postgres", isolation_level="AUTOCOMMIT")
        with admin.connect() as c:
            c.execute(text(f"CREATE DATABASE {name}"))
        admin.dispose()
        url = f"postgresql+psycopg://postgres@127.0.0.1:54999/{name}"
    s = Store(url)
    metadata.create_all(s.engine)
    yield s
    s.close()
