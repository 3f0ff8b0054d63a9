"""`make demo`: the main job on this machine, with real files between real peers."""
