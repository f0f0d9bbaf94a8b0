"""Weights in, typed results out: cards, registry, sessions, adapters."""
