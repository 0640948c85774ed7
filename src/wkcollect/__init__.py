"""Collects a run's evidence on one host, detached from whoever started it.

Only the standard library, Python 3.8 or newer: a host needs nothing else. The package goes to hosts
as one zipapp.

Each target has threads of its own, so that one that hangs costs its own samples and nobody else's.
Every sampler keeps an absolute cadence (start + n * interval on the monotonic clock). It skips and
counts the slots that it could not serve, and never makes up for them. Times in the files come from
the monotonic clock on top of one reading of the wall clock, so a stepped wall clock cannot tear the
timeline. Nothing of what is read is trusted: sizes, times and lines are bounded.

A process forks once it is started and may outlive its zipapp: import modules at the top of a file,
never in a function.
"""
