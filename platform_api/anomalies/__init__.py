"""What seems wrong, with its evidence, and what people decided about it."""
