"""Shipped stages (YAML); read them with `tinyclip.config.shelf`."""
