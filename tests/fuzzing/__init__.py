"""What arrives from outside, mutated: decoders may refuse it, and nothing else. See targets.py and __main__.py."""
