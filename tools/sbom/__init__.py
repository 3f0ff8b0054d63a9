"""The bill of materials of an image: CycloneDX from Buildroot's own tooling, from dpkg, and for our own part, merged."""
