"""The description of the API (https://spec.openapis.org/oas/v3.1.1), made from the schemas that the views read with."""
