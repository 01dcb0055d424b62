"""From weights to sales and restocks. Pure."""
