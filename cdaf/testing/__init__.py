"""The smoke test: service, sidecars and checks in one compose project."""
