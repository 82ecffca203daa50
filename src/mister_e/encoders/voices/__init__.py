"""Changes of voice in a stretch of sound."""
