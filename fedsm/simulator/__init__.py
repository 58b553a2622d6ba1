"""The members' machines and guards on a virtual clock, network, disk and node: what tries to break them.

Nothing in here waits, and nothing is left to chance: a run follows from its seed alone.
"""
