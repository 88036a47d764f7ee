"""Metrics for the outside world."""
