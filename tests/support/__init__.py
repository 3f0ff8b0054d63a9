"""Stand-ins and starters that the tests and the demo share. Nothing here runs on the box."""
