"""The facts of a base image, read from its files."""
