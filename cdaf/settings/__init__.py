"""What the user writes in cdaf.toml, and where each value came from."""
