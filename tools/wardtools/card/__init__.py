"""`wardtool card`: personalises smartcards at a workstation, through any PC/SC reader."""
