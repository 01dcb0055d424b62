"""What dealers owe: receivables, deposits, credit."""
