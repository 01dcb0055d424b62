"""What the platform says to gateways besides acks: commands and desired configurations, published by the worker.

``messages`` says what is published, ``queries`` what is due, ``link`` is the connection to the broker, ``runner`` goes
round. One worker of several does it at a time (an advisory lock): a row lock held while the broker is waited for would
hold up the stream, which writes the gateways' answers to the same rows.
"""
