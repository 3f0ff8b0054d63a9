/* /init of the Debian image's initramfs: what the product's kernel does by itself (CONFIG_DM_INIT) and Debian's cannot. It loads the modules of
 * /modules/order, opens the root as `dm-mod.create=` of the (signed) command line says, and starts systemd. Nothing else is asked of it; whatever
 * fails, the box starts again, and the loader counts.
 *
 * One program without a C library: firmware, shim and stub hash the slot's program several times, and each program that starts costs a start
 * in emulation a tenth of a second. Built by initramfs.sh: -nostdlib -static. */

#include <linux/dm-ioctl.h>
#include <linux/fcntl.h>
#include <linux/ioctl.h>
#include <linux/mount.h>
#include <linux/reboot.h>
#include <linux/unistd.h>

#define TEXT_BYTES 4096 /* the longest command line, table or uevent that is read */
#define TRIES 300       /* of a tenth of a second: then the disk does not come */

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d, long e)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x0,sp\n b start\n");
#else
#error "neither x86_64 nor aarch64"
#endif
#define CALL(number, a, b, c, d, e) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

/* The compiler asks for these by itself. */
void *memcpy(void *to, const void *from, unsigned long size)
{
    for (unsigned long at = 0; at < size; at++)
        ((volatile char *)to)[at] = ((const char *)from)[at];
    return to;
}
void *memset(void *to, int value, unsigned long size)
{
    for (unsigned long at = 0; at < size; at++)
        ((volatile char *)to)[at] = (char)value;
    return to;
}
static unsigned long length(const char *text)
{
    unsigned long size = 0;
    while (text[size])
        size++;
    return size;
}
/* What of `text` follows `start`; 0: it does not begin so. */
static const char *behind(const char *text, const char *start)
{
    while (*start)
        if (*text++ != *start++)
            return 0;
    return text;
}
/* Behind the first `what` in `text`; 0: there is none. */
static const char *find(const char *text, const char *what)
{
    for (; *text; text++)
        if (behind(text, what))
            return behind(text, what);
    return 0;
}

static int open_file(const char *path, int flags) { return (int)CALL(__NR_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0, 0); }
static void close_file(int file) { CALL(__NR_close, file, 0, 0, 0, 0); }
static void sleep_tenth(void)
{
    long time[2] = {0, 100000000};
    CALL(__NR_nanosleep, time, 0, 0, 0, 0);
}

static void say(const char *text)
{
    int console = open_file("/dev/console", O_WRONLY | O_NOCTTY);
    CALL(__NR_write, console, text, length(text), 0, 0);
    close_file(console);
}
static void __attribute__((noreturn)) fail(const char *what, const char *which)
{
    say("wardgate: ");
    say(what);
    say(which);
    say("\n");
    for (int tenths = 0; tenths < 100; tenths++)
        sleep_tenth();
    for (;;)
        CALL(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, 0, 0);
}
static void must(long result, const char *what)
{
    if (result < 0)
        fail(what, "");
}

/* Read a file into `into`, of `TEXT_BYTES`, as text. A longer one is refused: half a line would be another one. */
static void read_text(const char *path, char *into)
{
    long size = 0, more = 0;
    int file = open_file(path, O_RDONLY);
    must(file, path);
    do {
        size += more;
        more = CALL(__NR_read, file, into + size, TEXT_BYTES - size, 0, 0);
    } while (more > 0);
    close_file(file);
    if (more < 0 || size >= TEXT_BYTES)
        fail("cannot read ", path);
    into[size] = 0;
}
static void append(char *to, const char *text, unsigned long size)
{
    unsigned long used = length(to);
    if (used + size >= TEXT_BYTES)
        fail("too long: ", text);
    memcpy(to + used, text, size);
    to[used + size] = 0;
}
static unsigned long up_to(const char *text, char end)
{
    unsigned long size = 0;
    while (text[size] && text[size] != end)
        size++;
    return size;
}

static void mount(const char *what, const char *where, const char *type, unsigned long flags)
{
    must(CALL(__NR_mount, what, where, type, flags, 0), where);
}

/* In the order that is listed; each is taken away when it is in the kernel, for the memory. */
static void load_modules(void)
{
    char order[TEXT_BYTES];
    read_text("/modules/order", order);
    for (const char *name = order; *name;) {
        char path[TEXT_BYTES] = "/modules/";
        unsigned long size = up_to(name, '\n');
        append(path, name, size);
        int file = open_file(path, O_RDONLY);
        if (file < 0 || CALL(__NR_finit_module, file, "", 0, 0, 0) < 0)
            fail("driver ", path);
        close_file(file);
        CALL(__NR_unlinkat, AT_FDCWD, path, 0, 0, 0);
        name += size + (name[size] == '\n');
    }
}

struct entry {
    unsigned long long inode, offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* Append the device node of the partition with this GPT name to `device`; 0: it is not there (yet). */
static int find_device(const char *label, unsigned long size, char *device)
{
    static char entries[1 << 16];
    int folder = open_file("/sys/class/block", O_RDONLY | O_DIRECTORY), found = 0;
    must(folder, "/sys/class/block");
    for (long got; (got = CALL(__NR_getdents64, folder, entries, sizeof entries, 0, 0)) > 0;)
        for (long at = 0; at < got; at += ((struct entry *)(entries + at))->size) {
            char path[TEXT_BYTES] = "/sys/class/block/", said[TEXT_BYTES];
            const char *name = ((struct entry *)(entries + at))->name;
            if (name[0] == '.')
                continue;
            append(path, name, length(name));
            append(path, "/uevent", 7);
            read_text(path, said);
            const char *is = find(said, "PARTNAME="), *node = find(said, "DEVNAME=");
            if (found || !is || !node || up_to(is, '\n') != size)
                continue;
            unsigned long same = 0;
            while (same < size && is[same] == label[same])
                same++;
            if (same < size)
                continue;
            append(device, "/dev/", 5);
            append(device, node, up_to(node, '\n'));
            found = 1;
        }
    close_file(folder);
    return found;
}

static unsigned long long number(const char **text)
{
    unsigned long long value = 0;
    while (**text == ' ')
        ++*text;
    if (**text < '0' || **text > '9')
        fail("no number in the table: ", *text);
    while (**text >= '0' && **text <= '9')
        value = value * 10 + (unsigned long long)(*(*text)++ - '0');
    return value;
}

static struct {
    struct dm_ioctl head;
    struct dm_target_spec target;
    char parameters[TEXT_BYTES];
} order;
static void ask_mapper(int control, unsigned long what, unsigned int flags, unsigned int targets)
{
    memset(&order.head, 0, sizeof order.head);
    order.head.version[0] = DM_VERSION_MAJOR;
    order.head.data_size = sizeof order;
    order.head.data_start = sizeof order.head;
    order.head.flags = flags;
    order.head.target_count = targets;
    memcpy(order.head.name, "root", 5);
    must(CALL(__NR_ioctl, control, what, &order, 0, 0), "the root does not open");
}

/* `table`: START LENGTH TYPE PARAMETERS */
static void map_root(const char *table)
{
    int control = open_file("/dev/mapper/control", O_RDWR);
    must(control, "/dev/mapper/control");
    ask_mapper(control, DM_DEV_CREATE, 0, 0);
    order.target.sector_start = number(&table);
    order.target.length = number(&table);
    table += *table == ' ';
    unsigned long size = up_to(table, ' ');
    if (size >= sizeof order.target.target_type || !table[size])
        fail("no type in the table: ", table);
    memcpy(order.target.target_type, table, size);
    append(order.parameters, table + size + 1, length(table + size + 1));
    ask_mapper(control, DM_TABLE_LOAD, DM_READONLY_FLAG, 1);
    ask_mapper(control, DM_DEV_SUSPEND, 0, 0); /* without the flag it is resumed */
    close_file(control);
}

/* name,uuid,minor,flags,table (Documentation/admin-guide/device-mapper/dm-init.rst), with the partition's name made a device. */
static void open_root(void)
{
    static const char word[] = "PARTLABEL=";
    char line[TEXT_BYTES], device[TEXT_BYTES] = "", table[TEXT_BYTES] = "";
    read_text("/proc/cmdline", line);
    const char *create = find(line, "dm-mod.create=\"");
    if (!create)
        fail("no dm-mod.create", "");
    line[create - line + (long)up_to(create, '"')] = 0;
    for (int comma = 0; comma < 4; comma++) {
        create += up_to(create, ',');
        if (!*create++)
            fail("dm-mod.create has no table", "");
    }
    const char *label = find(create, word);
    if (!label)
        fail("no partition in dm-mod.create", "");
    unsigned long size = up_to(label, ' ');
    for (int tries = 0; !find_device(label, size, device); tries++) {
        if (tries == TRIES)
            fail("no partition ", label);
        sleep_tenth();
    }
    for (const char *next; (next = find(create, word)); create = next + up_to(next, ' ')) {
        append(table, create, (unsigned long)(next - create) - (sizeof word - 1));
        append(table, device, length(device));
    }
    append(table, create, length(create));
    map_root(table);
}

void __attribute__((noreturn, used)) start(long *stack)
{
    static char *arguments[] = {"/usr/lib/systemd/systemd", 0};
    char **environment = (char **)(stack + 1 + stack[0] + 1);
    mount("proc", "/proc", "proc", 0);
    mount("sysfs", "/sys", "sysfs", 0);
    mount("devtmpfs", "/dev", "devtmpfs", 0);
    load_modules();
    open_root();
    mount("/dev/dm-0", "/root", "squashfs", MS_RDONLY);
    mount("/dev", "/root/dev", "", MS_MOVE);
    mount("/sys", "/root/sys", "", MS_MOVE);
    mount("/proc", "/root/proc", "", MS_MOVE);
    must(CALL(__NR_chdir, "/root", 0, 0, 0, 0), "/root");
    mount(".", "/", "", MS_MOVE);
    must(CALL(__NR_chroot, ".", 0, 0, 0, 0), "/");
    must(CALL(__NR_chdir, "/", 0, 0, 0, 0), "/");
    CALL(__NR_execve, arguments[0], arguments, environment, 0, 0);
    fail("does not start: ", arguments[0]);
}
