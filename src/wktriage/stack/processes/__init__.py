"""The driver for plain processes, on this machine or one node a host."""
