"""Evidence-first performance triage for WuKongIM clusters."""

__version__ = "0.1.0"
