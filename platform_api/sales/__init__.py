"""Sales of the tills: the witness that is independent of the shelf."""
