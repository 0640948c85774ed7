"""How a cluster runs: one driver per way, all behind the same protocol."""
