"""What registries are asked and told, and who may ask."""
