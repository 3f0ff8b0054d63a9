#!/bin/sh
# What a board says of itself, for scripts that have set `common` and `board`: board.toml as `settings`, and its words.
# shellcheck disable=SC2034,SC2154 # they read them, they set them
settings=$common/../buildroot/board/$board/board.toml

# The word of a line `word = "value"`.
word() { sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$settings"; }
