"""Keyrings: where data keys come from. Siblings do not know each other."""
