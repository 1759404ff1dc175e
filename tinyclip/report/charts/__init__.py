"""The charts of a report, by subject."""
