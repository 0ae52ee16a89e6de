"""What a smoke test leaves for people and for CI."""
