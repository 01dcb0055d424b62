"""Staged imports: a whole CSV file is checked first, every mistake is told with its row, then all of it is committed.

``rows`` says what a row of each kind is, ``staging`` reads a file without touching the database, ``service`` compares
it with what is registered and writes it in one transaction. Importing the same file twice changes nothing.
"""
