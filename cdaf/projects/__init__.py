"""The project as its author wrote it; nothing at release time comes here."""
