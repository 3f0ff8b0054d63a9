#!/bin/sh
# shellcheck disable=SC2154 # they set them
# What a slot is made of on every board; read by assemble.sh and assemble-uboot.sh, which set `out`, `common` and `board`.
python=${PYTHON:-python3}
# shellcheck source=image/common/board.sh
. "$common/board.sh"

# OUT/root.img: OUT/root.image with its hash tree behind it. The salt is of the content: the same root gives the same image.
hash_root() {
    root=$out/root.img
    cp "$out/root.image" "$root"
    bytes=$(stat -c %s "$root")
    blocks=$(((bytes + 4095) / 4096))
    truncate -s $((blocks * 4096)) "$root"
    salt=$(sha256sum "$root" | cut -c1-64)
    veritysetup format --data-block-size=4096 --hash-block-size=4096 --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) \
        --salt="$salt" --uuid=00000000-0000-0000-0000-000000000000 "$root" "$root" >"$out/verity.txt"
    hash=$(sed -n 's/^Root hash:[[:space:]]*//p' "$out/verity.txt")
}

# Of slot a or b. The kernel opens the root by itself (CONFIG_DM_INIT). `lockdown`: also where the firmware checks nothing.
# `import_credentials`: systemd would take files to write, and more, from the firmware's tables (SMBIOS), which nobody signs.
# `TERM=dumb`: systemd from 258 on asks the console who and how large it is, and waits for answers that a box's serial line does not give.
command_line() {
    device=PARTLABEL=root_$1
    printf '%s' "root=/dev/dm-0 ro rootwait console=$(word console) $(word command_line) quiet panic=10 lockdown=confidentiality" \
        " systemd.gpt_auto=0 systemd.import_credentials=no TERM=dumb rauc.slot=$(echo "$1" | tr ab AB) dm-mod.waitfor=$device dm-mod.create=\"root,,,ro,0 $((blocks * 8)) verity 1 $device $device" \
        " 4096 4096 $blocks $((blocks + 1)) sha256 $hash $salt 1 panic_on_corruption\""
}

# vfat FILE LABEL PARTITION: empty, as large as its partition.
vfat() {
    own=$(sed -n "s/^${3%_a}_mebibytes = //p" "$settings")
    truncate -s "${own:-$(sed -n "/^name = \"$3\"/,/^holds/ s/^mebibytes = //p" "$common/partitions.toml")}M" "$1"
    mkfs.vfat --invariant -n "$2" "$1" >/dev/null
}

# disk WORD ...: OUT/wardgate.img by layout.py's words; what an update carries in OUT/bundle.
disk() {
    for data in state vault; do [ ! -f "$out/$data.ext4" ] || set -- "$data=$data.ext4" "$@"; done
    "$python" "$common/layout.py" "--board=$settings" boot=boot.vfat root=root.img "$@" >"$out/genimage.cfg"
    rm -rf "$out/genimage.tmp" "$out/bundle" "$out/empty"
    mkdir "$out/bundle" "$out/empty"
    genimage --rootpath "$out/empty" --tmppath "$out/genimage.tmp" --inputpath "$out" --outputpath "$out" --config "$out/genimage.cfg" >"$out/genimage.log" 2>&1 || {
        tail -n 3 "$out/genimage.log" >&2
        exit 1
    }
    rm -rf "$out/genimage.tmp" "$out/empty"
    ln "$out/boot.vfat" "$out/root.img" "$out/bundle/"
}
