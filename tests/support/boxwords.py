"""Lines of shell for a box, by what either image has: Buildroot's programs are busybox's, with fewer words; Python is the same in both."""

from __future__ import annotations

import base64
from typing import Final

_PROCESSES: Final = """
import glob, os, pwd
rows = []
for path in glob.glob("/proc/[0-9]*"):
    try:
        words = open(path + "/cmdline").read().replace(chr(0), " ").strip()
        size = int(open(path + "/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        rows.append((size, pwd.getpwuid(os.stat(path).st_uid).pw_name, words))
    except OSError:  # it has ended
        pass
for size, name, words in sorted(rows, reverse=True):
    if words:
        print(name, size, words)
"""
# The image has no tar. A checkpoint removes files while we read, and a file can be shorter than it was said to be: then all again.
LOG_PROGRAM: Final = """
import base64, io, tarfile
for _ in range(10):
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add("/var/lib/custody/log", "custody")
        break
    except OSError as error:
        problem = error
else:
    raise SystemExit(f"the log is not read: {problem}")
print(base64.encodebytes(packed.getvalue()).decode())
"""
_OWNERS: Final = """
import grp, os, pwd, sys
for path in sys.argv[1:]:
    try:
        it = os.lstat(path)
    except OSError as error:
        print(error)
        continue
    print(pwd.getpwuid(it.st_uid).pw_name, grp.getgrgid(it.st_gid).gr_name, "%o" % (it.st_mode & 0o7777), path)
"""
_AS: Final = """
import os, pwd, sys
who = pwd.getpwnam(sys.argv[1])
os.initgroups(who.pw_name, who.pw_gid)
os.setgid(who.pw_gid)
os.setuid(who.pw_uid)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def in_log(pattern: str) -> str:
    """Return the line that prints each piece of the custody log that matches, once, in the log's order.

    It looks until two looks are alike, as a checkpoint moves records. A box's clock may go back at a start, so times tell no order.
    """
    files = "find tile/entries wal-* -type f 2>/dev/null | sort"
    look = f"cd /var/lib/custody/log && {files} | xargs grep -ahoE '{pattern}' 2>/dev/null"
    return f'until a=$({look}); sleep 1; [ "$a" = "$({look})" ]; do :; done; printf \'%s\\n\' "$a" | awk \'NF && !seen[$0]++\''


def script(text: str) -> str:
    """Return the words that run a Python program of many lines; its arguments may follow."""
    return f'python3 -c \'exec(__import__("base64").b64decode("{base64.b64encode(text.encode()).decode()}"))\''


# Account, resident KiB and words of each process that has words, the largest first.
PROCESSES: Final = script(_PROCESSES)
# The custody log as a tar file, packed with gzip, in base64.
LOG: Final = script(LOG_PROGRAM)


def owners(*paths: str) -> str:
    """Return the words that print account, group, permissions (octal) and name of each path, or what is wrong with it."""
    return f"{script(_OWNERS)} {' '.join(paths)}"


def as_account(name: str, command: str) -> str:
    """Return the words that run a command as an account, with its groups and none of root's rights."""
    return f"{script(_AS)} {name} {command}"
