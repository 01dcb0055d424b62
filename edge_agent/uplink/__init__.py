"""The way to the broker, and the acknowledgements back."""
