"""The Ocean flavour of the embedded chain: nodes that answer as Ocean 2.1.1.1 does."""
