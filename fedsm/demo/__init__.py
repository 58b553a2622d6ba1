"""A federation on one machine, with real processes: nodes, daemons, faults, and the check of what came out."""
