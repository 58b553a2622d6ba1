"""Blinded amounts as a node checks them: sums of commitments, range proofs, surjection proofs.

libwally makes these proofs but verifies none, so the verifying half is here, in plain arithmetic: nothing in it is
secret, and a proof takes a fraction of a second.
"""
