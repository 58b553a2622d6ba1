"""Every state that a small federation can reach, one after another: see docs/simulation.md, "Every state"."""
