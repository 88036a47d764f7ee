"""Data keys that are used for more than one object."""
