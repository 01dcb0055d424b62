"""The pages that people see: server-rendered Jinja2, kept alive by htmx, uPlot and server-sent events."""
