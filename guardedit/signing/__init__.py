"""Signatures of corrections: Ed25519 over the canonical bytes of a message. Knows no policy and no ledger."""
