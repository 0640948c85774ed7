"""From a failure to its cause by itself: what is done next, and the journal of what was done."""
