"""The audit log: events, chain, sinks, anchors, report."""
