"""`make image-check`: our Buildroot tree against the pinned one, without a build."""
