"""NDJSON in and out by the command line: one resource to a line, one file to a type."""
