# U-Boot script: which slot, by RAUC's words BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT in the environment.
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3
setenv part
for name in ${BOOT_ORDER}; do
    if test "x${part}" = "x"; then
        if test "x${name}" = "xA"; then
            if test ${BOOT_A_LEFT} -gt 0; then setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1; setenv part 2; fi
        else
            if test ${BOOT_B_LEFT} -gt 0; then setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1; setenv part 4; fi
        fi
    fi
done
if test "x${part}" = "x"; then
    setenv BOOT_A_LEFT 3
    setenv BOOT_B_LEFT 3
    saveenv
    reset
fi
saveenv
load mmc ${devnum}:${part} ${scriptaddr} cmdline.txt
env import -t ${scriptaddr} ${filesize} bootargs
load mmc ${devnum}:${part} ${kernel_addr_r} Image
load mmc ${devnum}:${part} ${fdt_addr_r} board.dtb
booti ${kernel_addr_r} - ${fdt_addr_r}
