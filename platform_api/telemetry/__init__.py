"""What was measured: readings of any range, what was lost on the way, and exports."""
