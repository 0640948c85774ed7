"""How good the judging is: scores and robustness against labelled runs."""
