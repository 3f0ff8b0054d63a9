"""The two ports: the bridge or the router, the rule set, the sockets that stand in for others, observing, break-glass."""
