"""What is happening now: readings in time, the wall's first state, and the stream of what changes."""
