"""Which commit brought it: a search in steps, each of which is an experiment that may err."""
