"""Reissuance of assets by M-of-N signatures: transactions, their judgement, and what the chain knows of assets."""
