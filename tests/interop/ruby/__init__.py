"""Objects that Amazon's client for Ruby wrote, recorded."""
