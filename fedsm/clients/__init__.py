"""Clients of a chain, for programs, demos and tests: they issue assets and pay them to each other.

Their keys are their own, so a node without a wallet will do: the first money comes from coins that anyone can
spend, as new chains have them. On chains without such coins the node's wallet issues and pays.
"""
