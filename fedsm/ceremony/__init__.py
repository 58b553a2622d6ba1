"""From nothing to a federation: member directories, cards, the shared file, and the options of a new chain."""
