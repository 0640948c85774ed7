"""Recorded incidents served again by stand-in nodes and a stand-in simulator."""
