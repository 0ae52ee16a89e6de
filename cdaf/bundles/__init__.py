"""The bundle: its format, how it is sealed, opened, compared and shown."""
