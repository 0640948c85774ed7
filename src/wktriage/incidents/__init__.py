"""The library of recorded and labelled runs."""
