"""What every figure stands on: the world's data, a database, the running server, the load, the table of figures."""
