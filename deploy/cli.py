"""The command line: mounts each part's commands under ``shelfpulse``."""
