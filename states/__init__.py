"""The consensus core of fedsm: pure machines, events in and effects out (no I/O, clock, randomness or threads)."""
