"""Tests of the compliance checks."""
