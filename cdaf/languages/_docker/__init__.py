"""What only services with a Dockerfile of their own need."""
