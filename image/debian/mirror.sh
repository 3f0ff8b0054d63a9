#!/bin/sh
# Prints the Debian mirror that apt uses on this machine; says so and fails where apt names none.
# shellcheck disable=SC2016 # $(SITE) is apt's
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | head -n 1)
[ -n "$mirror" ] || {
    echo "apt names no Debian mirror here" >&2
    exit 1
}
echo "$mirror"
