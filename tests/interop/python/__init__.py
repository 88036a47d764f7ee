"""Objects that Amazon's client for Python wrote, recorded."""
