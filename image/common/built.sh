#!/bin/sh
# What says when and for whom a root was made: built.sh ROOT. STATE_ANCHORS=FILE: vkeys that may sign the state (docs/vault.md).
set -eu
install -d -m 0755 "$1/usr/share/wardgate"
# No clock is believed that says an earlier time.
printf '%s\n' "${SOURCE_DATE_EPOCH:-$(date +%s)}" >"$1/usr/share/wardgate/built"
chmod 0644 "$1/usr/share/wardgate/built"
# Of an earlier build in the same folder.
rm -f "$1/usr/share/wardgate/state-anchors"
[ -z "${STATE_ANCHORS:-}" ] || install -m 0644 "$STATE_ANCHORS" "$1/usr/share/wardgate/state-anchors"
