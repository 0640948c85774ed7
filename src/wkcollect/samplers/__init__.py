"""What is sampled during the run, one kind a module; ``schedule`` says how often and when."""
