"""The canonical ragged CLIP."""
