"""What lies on the shelves, and what the edge decided that happened there."""
