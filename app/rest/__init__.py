"""The FHIR base URL: HTTP in, interactions out."""
