"""What a policy would have cost on past demand: ``shelfpulse backtest``. Pure but for ``main`` and ``plot``."""
