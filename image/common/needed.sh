#!/bin/sh
# Refuses a root that lacks what ours start or open by name: needed.sh ROOT. On the box it would be a service that fails.
set -eu
root=$1
common=$(cd "$(dirname "$0")" && pwd)
units=$common/overlay/usr/lib/systemd/system

# Is there a file at this path of the root, behind whatever links? Their targets are the box's paths, not this machine's.
ends() {
    at=$1
    hops=0
    while [ -L "$root$at" ]; do
        hops=$((hops + 1))
        [ "$hops" -le 20 ] || return 1
        to=$(readlink "$root$at")
        case $to in /*) at=$to ;; *) at=$(dirname "$at")/$to ;; esac
    done
    [ -e "$root$at" ]
}

there=$(mktemp)
trap 'rm -f "$there"' EXIT
find "$root/usr" ! -type d -printf '/%f /usr/%P\n' >"$there"
missing=$(grep -v '^#' "$common/needed" | while read -r name; do
    grep -F "/$name /usr/" "$there" | {
        while read -r _ place; do ! ends "$place" || exit 0; done
        printf ' %s' "$name"
    }
done)

# A unit may say itself that it does without.
missing=$missing$(sed -n 's/^Exec[A-Za-z]*=[-+!@:]*\(\/[^ ]*\).*/\1/p' "$units"/*.service | sort -u | while read -r program; do
    ends "$program" || grep -qx "ConditionPathExists=$program" "$units"/*.service || printf ' %s' "$program"
done)
[ -z "$missing" ] || {
    echo "needed: the root has no$missing" >&2
    exit 1
}
