"""Other keys, contexts and bindings for many objects, without moving their bodies."""
