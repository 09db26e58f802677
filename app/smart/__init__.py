"""The authorization server: clients, keys and tokens. https://hl7.org/fhir/smart-app-launch/backend-services.html"""
