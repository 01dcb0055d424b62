"""Orders: their states, lines, and what each unit of their money is made of."""
