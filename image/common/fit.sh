#!/bin/sh
# One signed FIT for a slot of a board with U-Boot: kernel, device tree, and in it the command line with the root hash: fit.sh OUT KERNEL DTB LINE
# LINE: a file. WARDGATE_FIT_KEY: a folder with boot.key and boot.crt (PEM, RSA-2048), or pkcs11:token=NAME, whose key is labelled `boot`
# (OpenSSL's engine pkcs11; MKIMAGE_SIGN_PIN has the PIN). WARDGATE_FIT_ADDRESS: where the kernel goes, 0x....
# WARDGATE_FIT_CONTROL: U-Boot's own device tree, into which the public key goes, as required (a loader that has it starts nothing else).
# U-Boot must be told no `bootargs`: they would take the place of the signed ones.
set -eu
out=$1 kernel=$2 dtb=$3 line=$4
case $WARDGATE_FIT_KEY in
pkcs11:*) set -- -N pkcs11 -k "${WARDGATE_FIT_KEY#pkcs11:}" ;;
*) set -- -k "$WARDGATE_FIT_KEY" ;;
esac
[ -z "${WARDGATE_FIT_CONTROL:-}" ] || set -- "$@" -K "$WARDGATE_FIT_CONTROL"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$kernel" "$work/kernel"
cp "$dtb" "$work/board.dtb"
fdtput -p -t s "$work/board.dtb" /chosen bootargs "$(cat "$line")"
cat >"$work/fit.its" <<END
/dts-v1/;
/ {
    description = "Wardgate";
    #address-cells = <1>;
    images {
        kernel {
            data = /incbin/("kernel");
            type = "kernel";
            arch = "arm64";
            os = "linux";
            compression = "none";
            load = <$WARDGATE_FIT_ADDRESS>;
            entry = <$WARDGATE_FIT_ADDRESS>;
            hash-1 { algo = "sha256"; };
        };
        fdt {
            data = /incbin/("board.dtb");
            type = "flat_dt";
            arch = "arm64";
            compression = "none";
            hash-1 { algo = "sha256"; };
        };
    };
    configurations {
        default = "wardgate";
        wardgate {
            kernel = "kernel";
            fdt = "fdt";
            signature-1 {
                algo = "sha256,rsa2048";
                key-name-hint = "boot";
                sign-images = "kernel", "fdt";
            };
        };
    };
};
END
# Without -r a signature is checked only where a key is; with it nothing starts without.
(cd "$work" && mkimage -f fit.its "$@" -r made.itb) >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
# mkimage 2023.01 says "Signature written" and ends well when it has no key.
fdtget "$work/made.itb" /configurations/wardgate/signature-1 value >"$work/log" 2>&1 || { echo "fit: nothing was signed: no key" >&2; exit 1; }
cp "$work/made.itb" "$out"
