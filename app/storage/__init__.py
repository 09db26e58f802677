"""The database. The only package that imports SQLAlchemy; protected rows are reached through a Grant alone."""
