"""Who used which key for what, when: events, in a chain that shows whether one is missing."""
