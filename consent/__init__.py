"""Rules and proofs of consent: states, gate, notices, ledger."""
