"""One run from preflight to recovery."""
