"""What keeps every frame until the platform has committed it."""
