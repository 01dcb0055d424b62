"""What every slice stands on: transactions, identity, errors, paging, preconditions, limits, metrics."""
