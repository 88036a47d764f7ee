"""Data keys that Java's own cryptography wrapped, recorded."""
