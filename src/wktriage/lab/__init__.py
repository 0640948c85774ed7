"""Fault lab: declared faults on the user's own cluster, inside a triage window.

A fault is one file in ``faults/``. It is injected, checked, and healed while the ordinary run
collects; its label says what was measured to have happened, not what was intended.
"""
