"""Other object formats than SE1, read and written over the same ports."""
