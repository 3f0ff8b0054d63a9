#!/bin/sh
# One signed FIT for a slot of a board with U-Boot: kernel and device tree, in the tree the command line with the root hash:
# fit.sh OUT KERNEL DTB NAME=LINE ... One configuration for each NAME (the slot that it may lie in), LINE a file with its command line.
# WARDGATE_FIT_KEY: a folder with boot.key and boot.crt (PEM, RSA-2048), or pkcs11:token=NAME, whose key is labelled `boot`
# (OpenSSL's engine pkcs11; MKIMAGE_SIGN_PIN has the PIN). WARDGATE_FIT_ADDRESS: where the kernel goes, 0x....
# WARDGATE_FIT_RAMDISK: an initramfs, under the same signature. WARDGATE_FIT_CONTROL: U-Boot's own device tree, into which the public key
# goes, as required (a loader that has it starts nothing else); where U-Boot is compiled, uboot.py does it.
# U-Boot must be told no `bootargs`: they would take the place of the signed ones.
set -eu
out=$1 kernel=$2 dtb=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$kernel" "$work/kernel"

# An image: name, file, type, what else.
part() {
    printf '%s { data = /incbin/("%s"); type = "%s"; arch = "arm64"; compression = "none"; %s hash-1 { algo = "sha256"; }; };\n' "$@"
}
images='"kernel", "fdt"' ramdisk=
if [ -n "${WARDGATE_FIT_RAMDISK:-}" ]; then
    cp "$WARDGATE_FIT_RAMDISK" "$work/ramdisk"
    images="$images, \"ramdisk\"" ramdisk='ramdisk = "ramdisk";'
fi
names=
for pair in "$@"; do
    name=${pair%%=*}
    names="$names $name"
    cp "$dtb" "$work/$name.dtb"
    fdtput -p -t s "$work/$name.dtb" /chosen bootargs "$(cat "${pair#*=}")"
done
at="load = <$WARDGATE_FIT_ADDRESS>; entry = <$WARDGATE_FIT_ADDRESS>;"
{
    echo '/dts-v1/; / { description = "Wardgate"; #address-cells = <1>; images {'
    part kernel kernel kernel "os = \"linux\"; $at"
    [ -z "$ramdisk" ] || part ramdisk ramdisk ramdisk 'os = "linux";'
    for name in $names; do part "fdt-$name" "$name.dtb" flat_dt ''; done
    echo '}; configurations {'
    for name in $names; do
        echo "$name { kernel = \"kernel\"; fdt = \"fdt-$name\"; $ramdisk"
        echo "signature-1 { algo = \"sha256,rsa2048\"; key-name-hint = \"boot\"; sign-images = $images; }; };"
    done
    echo '}; };'
} >"$work/fit.its"

case $WARDGATE_FIT_KEY in
pkcs11:*) set -- -N pkcs11 -k "${WARDGATE_FIT_KEY#pkcs11:}" ;;
*) set -- -k "$WARDGATE_FIT_KEY" ;;
esac
[ -z "${WARDGATE_FIT_CONTROL:-}" ] || set -- "$@" -K "$WARDGATE_FIT_CONTROL"
# Without -r a signature is checked only where a key is; with it nothing starts without.
(cd "$work" && mkimage -f fit.its "$@" -r made.itb) >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
# mkimage 2023.01 says "Signature written" and ends well when it has no key.
for name in $names; do
    fdtget "$work/made.itb" "/configurations/$name/signature-1" value >"$work/log" 2>&1 || { echo "fit: nothing was signed: no key" >&2; exit 1; }
done
cp "$work/made.itb" "$out"
