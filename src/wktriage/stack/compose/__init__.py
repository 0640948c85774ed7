"""The driver for Docker Compose."""
