"""The object format SE1, pure: bytes and integers in, bytes and frozen values out."""
