################################################################################
#
# wardgate
#
################################################################################

# The tree that this external tree lies in: no download, hence no hash file.
WARDGATE_VERSION = local
WARDGATE_SITE = $(BR2_EXTERNAL_WARDGATE_PATH)/../..
WARDGATE_SITE_METHOD = local
WARDGATE_LICENSE = PROPRIETARY
WARDGATE_REDISTRIBUTE = NO
WARDGATE_DEPENDENCIES = host-pkgconf host-python3 openssl python3
WARDGATE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude /build --exclude /.venv --exclude /.venv313 \
	--exclude /tests --exclude /image --exclude __pycache__
WARDGATE_SITE_PACKAGES = $(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages

define WARDGATE_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(TARGET_CONFIGURE_OPTS) \
		-C $(@D)/hsm/provider OUT=$(@D)/build/provider
endef

# Pure Python: copied, compiled by python3's own hook at the end.
define WARDGATE_INSTALL_TARGET_CMDS
	mkdir -p $(WARDGATE_SITE_PACKAGES)
	cp -a $(@D)/firmware/wardgate $(@D)/hsm/wardkeys $(WARDGATE_SITE_PACKAGES)
	$(INSTALL) -D -m 0644 $(@D)/build/provider/wardkeys.so \
		$(TARGET_DIR)/usr/lib/ossl-modules/wardkeys.so
endef

# The same accounts as in image/common/overlay/usr/lib/sysusers.d (a test compares): /etc cannot be written on the box.
# Numbers of our own: those that Buildroot gives change with the packages, and the data partitions are kept over updates.
define WARDGATE_USERS
	wardgate 900 wardgate 900 * /var/lib/wardgate - custody,audit Wardgate gateway
	wardkeys 901 wardkeys 901 * /var/lib/wardkeys - - Wardgate key service
	wardvault 902 wardvault 902 * - - - Wardgate vault
	wardnet 903 wardnet 903 * - - - Wardgate firewall
	wardnetd 904 wardnetd 904 * - - - Wardgate ports of the plant
	wardadmin 905 wardadmin 905 * /var/lib/wardadmin /bin/sh - Wardgate management
	wardfetch 906 wardfetch 906 * - - - Wardgate updates from a server
	wardsuper 907 wardsuper 907 * - - - Wardgate supervisor link
	custody 908 custody 908 * - - - Wardgate custody writer
	audit 909 audit 909 * - - - Wardgate audit sender
endef

$(eval $(generic-package))
