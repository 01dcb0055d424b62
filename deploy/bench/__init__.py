"""``shelfpulse bench``: measurements whose figures are ratios within one run, on a stack of their own."""
