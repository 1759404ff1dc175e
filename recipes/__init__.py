"""Shipped recipes (YAML); read them with `tinyclip.config.shelf`."""
