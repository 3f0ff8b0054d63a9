"""What the state of a token means for whoever uses a key in it: serve, or refuse with a code. Sans-IO; light enough for the master."""
