"""The words of `[plant]`: ports, allow lists, management, break-glass. Data only, as in `schema`."""

from __future__ import annotations

from typing import Final

from wardgate.policy.schema import REQUIRED, Kind, Word

# What a service of the allow list is on the wire: protocol and ports. "tcp" and "udp" take the entry's own ports.
SERVICES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "dhcp": ("udp", (67, 547)),
    "dns": ("udp+tcp", (53,)),
    "ntp": ("udp", (123,)),
    "syslog": ("udp", (514,)),
    "print": ("tcp", (515, 631, 9100)),
    "ping": ("icmp", ()),
    "tcp": ("tcp", ()),
    "udp": ("udp", ()),
}
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

PLANT_SCHEMA: Final[dict[str, tuple[Word, ...]]] = {
    "plant": (
        Word(
            "ports",
            Kind.CHOICE,
            "none",
            "`bridge`: the box is invisible in the cable; `router`: it has addresses of its own; `none`: the host's sockets are used",
            choices=("none", "bridge", "router"),
        ),
        Word("modality_port", Kind.INTERFACE, "", "network device towards the modality"),
        Word("hospital_port", Kind.INTERFACE, "", "network device towards the hospital"),
        Word(
            "vlan",
            Kind.INTEGER,
            0,
            "the cable is a trunk and the modality is in this VLAN: only its frames are judged; 0: no tags",
            0,
            4094,
        ),
        Word("mtu", Kind.INTEGER, 1500, "largest packet of both ports, bytes; 9000 for jumbo frames", 1280, 9216),
        Word("enforce", Kind.BOOLEAN, True, "false: everything is bridged in clear and only noted, for `wardgate observe report`"),
        Word("socket", Kind.PATH, "/run/wardgate-netd/netd.sock", "where `netd` takes requests"),
        Word("state_dir", Kind.PATH, "/var/lib/wardnetd", "where `netd` keeps what the custody log has to be told of break-glass"),
        Word("allow_uids", Kind.INTEGER, [], "user ids that may ask `netd` for sockets, besides its own", 0, (1 << 32) - 2, many=True),
        Word("allow_users", Kind.NAME, ["wardgate"], "accounts that may too; one that does not exist is no mistake", many=True),
        Word(
            "mac",
            Kind.CHOICE,
            "learned",
            "`bound`: the modality is one of `macs`; `learned`: it is who speaks on its port",
            choices=("learned", "bound"),
        ),
        Word("macs", Kind.MAC, [], "MAC addresses of the modality, with `bound`", many=True),
        Word("lldp", Kind.BOOLEAN, False, "let LLDP pass"),
        Word("eapol", Kind.BOOLEAN, True, "let 802.1X (EAPOL) pass"),
        Word("link_loss", Kind.BOOLEAN, True, "show the loss of link of one port on the other"),
        Word("log_per_second", Kind.INTEGER, 5, "lines a second in the kernel's log about refused frames", 1, 1000),
        Word("allow", Kind.TABLE, [], "what may pass besides the DICOM of the links", many=True, table="plant.allow"),
        Word("neighbours", Kind.TABLE, [], "addresses that only one MAC may claim", many=True, table="plant.neighbours"),
        Word("management", Kind.TABLE, {}, "the box's own address; off by default", table="plant.management"),
        Word("break_glass", Kind.TABLE, {}, "the bypass when security itself fails", table="plant.break_glass"),
        Word("router", Kind.TABLE, {}, 'addresses of the box, with `ports = "router"`', table="plant.router"),
    ),
    "plant.allow": (
        Word("name", Kind.NAME, REQUIRED, "name in counters and log lines"),
        Word("service", Kind.CHOICE, REQUIRED, "what it is; `tcp` and `udp` need `ports`", choices=tuple(SERVICES)),
        Word("way", Kind.CHOICE, "from-modality", "who begins", choices=("from-modality", "to-modality")),
        Word("addresses", Kind.NETWORK, REQUIRED, "the other end, on the hospital side", many=True, least=1),
        Word("ports", Kind.INTEGER, [], "ports of the server", 1, 65535, many=True),
        Word("hours", Kind.HOURS, "", "only between these times of the day, UTC"),
        Word("days", Kind.CHOICE, [], "only on these days, UTC", choices=DAYS, many=True),
    ),
    "plant.neighbours": (
        Word("address", Kind.ADDRESS, REQUIRED, "an address on the hospital side"),
        Word("mac", Kind.MAC, REQUIRED, "its MAC address"),
    ),
    "plant.management": (
        Word("side", Kind.CHOICE, "off", "port on which the box's own address lives", choices=("off", "hospital", "modality")),
        Word("address", Kind.CIDR, "", "the box's own address"),
        Word("gateway", Kind.ADDRESS, "", "its router"),
        Word("port", Kind.INTEGER, 22, "TCP port that may be called there (a service that authenticates by key)", 1, 65535),
        Word("user", Kind.NAME, "wardadmin", "account of the service; the only one that it lets in"),
        Word("keys", Kind.PATH, "/etc/wardgate/management.keys", "public keys that are let in, one a line (authorized_keys)"),
        Word("host_key", Kind.PATH, "/var/lib/wardadmin/host_ed25519", "its own key; made at the first start"),
        Word("sources", Kind.NETWORK, [], "who may call it", many=True),
        Word("reach", Kind.ENDPOINT, [], "what the box itself may call over TCP and UDP: CRLs, audit repositories, time", many=True),
        Word("confirm_seconds", Kind.INTEGER, 60, "a new rule set that is not confirmed by then is taken back, seconds", 5, 3600),
    ),
    "plant.break_glass": (
        Word("allow", Kind.BOOLEAN, False, "whether it may be started at all"),
        Word(
            "acts",
            Kind.CHOICE,
            [],
            "what may start it; `command` takes it from root only",
            choices=("button", "card", "command"),
            many=True,
        ),
        Word("button", Kind.PATH, "", "input device of the button, such as `/dev/input/by-path/platform-gpio-keys-event`"),
        Word("button_key", Kind.INTEGER, 0, "which key of it (linux/input-event-codes.h); 0: any", 0, 767),
        Word("button_seconds", Kind.INTEGER, 3, "how long it has to be held", 1, 30),
        Word("card", Kind.NAME, "", "name of the token in keys.toml; putting it in starts the bypass, once it has taken its PIN"),
        Word("minutes", Kind.INTEGER, 60, "it ends by itself after this time", 1, 1440),
        Word("addresses", Kind.ENDPOINT, [], "where the modality is relayed to in clear while it lasts", many=True),
    ),
    "plant.router": (
        Word("modality_addresses", Kind.CIDR, [], "addresses of the box on the modality's port", many=True),
        Word("hospital_addresses", Kind.CIDR, [], "addresses of the box on the hospital's port", many=True),
        Word("gateway", Kind.ADDRESS, "", "router on the hospital's port"),
    ),
}
