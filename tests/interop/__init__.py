"""Our client beside those of Amazon: each reads what the other wrote."""
