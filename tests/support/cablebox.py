"""The Debian image in the cable: QEMU between the two ends of a `support.plant.Plant`, which know of no box."""

from __future__ import annotations

from pathlib import Path

from support.boxsite import HOME, LINK, POLICY, SECRET, Site
from support.imagekit import Image
from support.plant import BACK, CLEAR, MODALITY, PACS, STORE, TLS, Plant
from support.qemubox import QemuBox
from support.taps import Cables
from wardtools.pki import Pki

OWN, OWN_PORT = "10.77.0.9", 2222  # the box's own address, on the hospital side
INSIDE, OUTSIDE = "enp0s2", "enp0s3"  # as the image's systemd names QEMU's two network cards
BUTTON = "/dev/input/by-id/usb-QEMU_QEMU_USB_Keyboard_1-event-kbd"
KEY = "b"  # as QEMU calls it
KEY_B = 48  # linux/input-event-codes.h
PLANT = f"""\
[plant]
ports = "bridge"
modality_port = "{INSIDE}"
hospital_port = "{OUTSIDE}"
allow_users = ["wardgate"]
[plant.management]
side = "hospital"
address = "{OWN}/24"
port = {OWN_PORT}
sources = ["{PACS}"]
[plant.break_glass]
allow = true
acts = ["button"]
button = "{BUTTON}"
button_key = {KEY_B}
button_seconds = 2
minutes = 2
addresses = ["{PACS}:{CLEAR}"]
"""


class CableBox:
    """`plant`: the two ends; `box`: the machine between them. `keeper`: the private key that management lets in."""

    def __init__(self, folder: Path, pki: Pki, image: Image, keeper: Path) -> None:
        self.folder, self.keeper, self.cables = folder, keeper, Cables()
        (folder / "ends").mkdir()
        self.plant = Plant(folder / "ends", pki, cable=self.cables.cable)
        site = Site(folder, pki)
        site.files["wardgate/wardgate.toml"] = policy()
        site.files["wardgate/management.keys"] = keeper.with_suffix(".pub").read_text()
        keyboard = ("-device", "qemu-xhci", "-device", "usb-kbd,serial=1")
        self.box = QemuBox(folder, site.disk(image, addresses=False), devices=keyboard, cables=self.cables)

    def hold_key(self, key: str, milliseconds: int) -> None:
        """Press a key of the keyboard that is plugged in, and let go of it after a time."""
        self.box.monitor(f"sendkey {key} {milliseconds}")

    def close(self) -> None:
        """End it all."""
        self.box.power_off()
        self.plant.close()
        self.cables.close()


def policy() -> str:
    """Return the box's policy: both directions, with the plant's own addresses."""
    link = LINK.format(
        name="ct1", ae="CT1", listen=CLEAR, home=HOME, delivery="relay", ct=MODALITY, box=PACS, pacs=PACS, port=TLS,
        key=f"{SECRET}/box.key", hold_syntaxes=f'listen = ["{MODALITY}:{BACK}"]',
    )  # fmt: skip
    link = link.replace('directions = ["to-hospital"]', 'directions = ["to-hospital", "to-modality"]')
    link = link.replace('transport = "plain"', f'connect = "{MODALITY}:{STORE}"\ntransport = "plain"')
    return POLICY.format(trial=240, more="", log_key=f"{SECRET}/log.pem") + PLANT + link
