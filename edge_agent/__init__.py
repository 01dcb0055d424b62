"""The gateway: polls, infers, keeps, sends."""
