"""What is sold: SKUs and their packs, price lists, and who may order what."""
