"""Webhooks: what happened is told to other systems, once it is committed and until they have heard it."""
