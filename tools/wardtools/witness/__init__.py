"""A small C2SP tlog-witness: signs what a log says of itself once it is shown to be the continuation of what it said before."""
