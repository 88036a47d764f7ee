"""Checks of a key and a bucket against a policy, and the evidence of them in forms that auditors read."""
