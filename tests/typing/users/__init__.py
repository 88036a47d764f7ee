"""Code as users write it: type checkers look at it, nobody runs it."""
