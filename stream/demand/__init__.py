"""Forecasts of demand, learnt one period at a time. Pure: numpy arrays over series, time is an index."""
