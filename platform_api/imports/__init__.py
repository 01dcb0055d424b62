"""Staged imports: a whole CSV file is checked first, every mistake is told with its row, then all of it is committed.

``rows`` and ``document_rows`` say what a row of each kind is, ``staging`` reads a file row by row without touching the
database, ``service`` compares them with what is registered and writes them in one transaction. Documents (orders,
shipments, stock moves) are posted by ``flows/importing``. Importing the same file twice changes nothing.
"""
