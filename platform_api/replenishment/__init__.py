"""Suggested replenishments, and who approves them."""
