"""HTTP, and files fetched by it."""
