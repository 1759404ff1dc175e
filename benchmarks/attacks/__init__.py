"""Families of attacks, a file a subject."""
