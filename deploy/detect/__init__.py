"""``shelfpulse detect``: the stream's detectors over files, for people who want to judge before they install."""
