"""What the outside may see of a running member: its status, its readiness and its metrics.

The engine's thread tells what it does (Observer); other threads read copies of that. Nothing in here reaches into
the machines, and nothing that goes wrong in here reaches them.
"""
