"""What FHIR R4 says, as pure functions: no clock, no database, no web framework."""
