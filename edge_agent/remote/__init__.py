"""What is done to a gateway from afar: a desired configuration, commands that act once, its first credential."""
