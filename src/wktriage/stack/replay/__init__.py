"""The driver for recorded incidents."""
