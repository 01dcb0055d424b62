"""``shelfpulse doctor``: everything that is commonly wrong, with the remedy."""

from deploy.doctor.main import app, examine

__all__ = ["app", "examine"]
