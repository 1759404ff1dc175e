"""The surviving weights, moved into a physically smaller student."""
