"""The words of `wardtool card`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wardkeys.card.errors import CardError
from wardtools.card import authorize, isclkeys, keys, listing, prepare
from wardtools.card.desk import NotConfirmed
from wardtools.card.work import ALGORITHMS, SLOTS, on_card

_COMMANDS = {
    "init": prepare.init,
    "new-key": keys.new_key,
    "csr": keys.csr,
    "install-cert": keys.install_cert,
    "set-pin": prepare.set_pin,
    "iscl-key": isclkeys.iscl_key,
    "authorize": authorize.authorize,
}


def main(arguments: list[str]) -> int:
    """Run. Exit status: 0 done, 1 card, reader or certificate refused it, 2 usage, 3 a file, 4 not confirmed."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "list":
            return listing.show(options)
        with on_card(options.reader) as work:
            return _COMMANDS[options.command](work, options)
    except NotConfirmed as error:
        sys.stderr.write(f"wardtool card {options.command}: {error}; nothing was changed\n")
        return 4
    except CardError as error:
        sys.stderr.write(f"wardtool card {options.command}: {error} -> {error.code.value.action}\n")
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"wardtool card {options.command}: {error}\n")
        return 3
    except KeyboardInterrupt:
        sys.stderr.write(f"\nwardtool card {options.command}: interrupted; wardtool card list shows how far it came\n")
        return 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wardtool card", description="Personalise a smartcard. Secrets are typed, or read from files.")
    commands = parser.add_subparsers(dest="command", required=True)
    reader = argparse.ArgumentParser(add_help=False)
    reader.add_argument("--reader", default="", metavar="NAME", help="part of the reader's name (default: the only card there is)")
    changes = argparse.ArgumentParser(add_help=False, parents=[reader])
    changes.add_argument("--yes", action="store_true", help="do not ask before something is destroyed")
    changes.add_argument("--management-key", type=Path, metavar="FILE", help="the card's management key (default: the factory's)")
    pin = argparse.ArgumentParser(add_help=False)
    pin.add_argument("--pin-file", type=Path, metavar="FILE", help="PIN (default: asked for)")
    new = argparse.ArgumentParser(add_help=False)
    new.add_argument("--new-pin-file", type=Path, metavar="FILE", help="new PIN (default: asked for twice)")
    new.add_argument("--new-puk-file", type=Path, metavar="FILE", help="new PUK (default: asked for twice)")
    slot = argparse.ArgumentParser(add_help=False)
    slot.add_argument("--slot", choices=SLOTS, default="9a", help="9a: PIN once (default), 9c: PIN for each signature, 9e: no PIN")

    commands.add_parser("list", parents=[reader], help="readers, cards, keys; needs no PIN")
    command = commands.add_parser("init", parents=[changes, new], help="wipe the card; set PIN, PUK and management key")
    command.add_argument("--management-key-out", type=Path, metavar="FILE", help="make a management key and keep it in this new file")
    command.add_argument("--keep-keys", action="store_true", help="for a card that has no command to wipe it")
    command = commands.add_parser("new-key", parents=[changes, pin, slot], help="make a key on the card")
    command.add_argument("--algorithm", choices=ALGORITHMS, default="p256")
    command.add_argument("--name", required=True, help="common name; of slot 9a it becomes the token's label in OpenSC")
    command = commands.add_parser("csr", parents=[reader, pin, slot], help="write a certificate request (PKCS#10)")
    command.add_argument("out", type=Path, metavar="OUT", help="new file, PEM")
    command.add_argument("--name", default="", help="common name (default: that of new-key)")
    command.add_argument("--dns", action="append", default=[], metavar="NAME", help="DNS name; may be given more than once")
    command.add_argument("--ip", action="append", default=[], metavar="ADDRESS", help="IP address; may be given more than once")
    command = commands.add_parser("install-cert", parents=[changes, pin, slot], help="put the certificate that came back on the card")
    command.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="PEM (the first of a chain) or DER")
    command = commands.add_parser("authorize", parents=[reader, pin], help="sign a statement of wardgate custody authorize")
    command.add_argument("--slot", choices=SLOTS, default="9c", help="9c (default): PIN for each signature")
    command.add_argument("--yes", action="store_true", help="do not ask after showing the statement")
    command.add_argument("statement", type=Path, metavar="STATEMENT")
    command.add_argument("out", type=Path, metavar="OUT", help="new file: the signed statement")
    command = commands.add_parser("set-pin", parents=[reader, pin, new], help="change the PIN")
    command.add_argument("--puk-file", type=Path, metavar="FILE", help="PUK (default: asked for)")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--unblock", action="store_true", help="set a new PIN by the PUK")
    which.add_argument("--puk", action="store_true", help="change the PUK instead")
    command = commands.add_parser("iscl-key", parents=[changes], help="load, remove or free an ISCL key")
    command.add_argument(
        "purpose", choices=isclkeys.PURPOSES, help="to-client, to-server: answers that travel so; encryption: session keys"
    )
    command.add_argument("slot", type=int, choices=range(1, 9), metavar="1-8")
    command.add_argument("--kind", choices=isclkeys.KINDS, default="des")
    command.add_argument(
        "--tries", type=int, default=0, choices=range(16), metavar="0-15", help="wrong answers that block it (0: none does)"
    )
    command.add_argument("--unsafe-allow-same-key", action="store_true", help="one key in two slots: for the laboratory")
    action = command.add_mutually_exclusive_group(required=True)
    action.add_argument("--key-file", type=Path, metavar="FILE", help="the key in hexadecimal")
    action.add_argument("--delete", action="store_true")
    action.add_argument("--unblock", action="store_true", help="give a key its tries again")
    return parser
