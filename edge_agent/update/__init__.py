"""Signed releases: fetched, checked, staged beside the running one, tried, and taken back when they are worse.

``command`` is what the platform's ``update`` starts; ``staging`` fetches and unpacks; ``trial`` switches and judges;
``guard`` runs before every start and needs nothing of the release it starts.
"""
