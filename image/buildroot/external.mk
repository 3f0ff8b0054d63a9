include $(sort $(wildcard $(BR2_EXTERNAL_WARDGATE_PATH)/package/*/*.mk))

# The repair of CVE-2026-46728: before, a list in the FIT that is not signed said what the signature is over. Buildroot 2026.02.3 has U-Boot
# 2026.01, which is not repaired: boards of ours name 2026.04. What UBOOT_DIR= of tools/image.sh gives is looked at too.
define WARDGATE_UBOOT_VERIFIES
	grep -q fit_config_get_hash_list $(@D)/boot/image-fit-sig.c || { echo "U-Boot verifies what an unsigned list names (CVE-2026-46728)" >&2; exit 1; }
endef
UBOOT_PRE_CONFIGURE_HOOKS += WARDGATE_UBOOT_VERIFIES

# Buildroot's libffi would make the code of callbacks in memory that is written and executed; Python makes one when ctypes is loaded. Our units
# forbid such memory (MemoryDenyWriteExecute=). Of what is in the image nothing needs it so. The last word counts.
LIBFFI_CONF_OPTS += --enable-exec-static-tramp

# Python asks by running a program whether the compiler knows computed gotos, and takes no for an answer where it cannot run one, as when it is built for
# another machine. Every compiler of ours is gcc, which knows them (docs/decisions/105).
PYTHON3_CONF_OPTS += --with-computed-gotos
