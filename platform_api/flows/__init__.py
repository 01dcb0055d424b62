"""Use cases that span nouns: one transaction each, over the services of slices that do not know each other."""
