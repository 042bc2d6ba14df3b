/* SPDX-FileCopyrightText: 2026 The virtops.kvm authors
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * beat: the whole user space of a lab guest, started by the kernel as /init.
 *
 * It loads the virtio modules, takes its address from the kernel command line and then
 *  - pushes a beat (counter, times, last durable record of each disk) by UDP to every subscriber,
 *  - prints a beat on the serial console every 100 ms,
 *  - appends numbered, checksummed 512 byte records to each disk, durable before they are acknowledged,
 *  - dirties memory at a rate, and obeys the commands in command() below.
 * The disk format is read by tests/lab/records.py.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORT 7700
#define MAX_DISKS 8
#define MAX_CLIENTS 16
#define LEASE_MS (600 * 1000)
#define RECORD 512
#define HEADER_AT (1u << 20)
#define RECORDS_AT (HEADER_AT + 4096)
#define CAPACITY 16384u
#define FILL_AT (16ull << 20)
#define SMALLEST_DISK (12ull << 20)
#define CHUNK (256u << 10)

struct disk {
    int index, fd;
    char device[32];
    uint64_t bytes;
    atomic_ullong durable, errors, fill_wanted, fill_done;
};

struct client {
    struct sockaddr_in address;
    int64_t until;
};

static struct disk disks[MAX_DISKS];
static int disk_count;
static struct client clients[MAX_CLIENTS];
static uint64_t boot_id;
static atomic_ullong counter;
static atomic_long dirty_rate, record_rate = 10, dirtied;
static long area_mib = 32, interval_ms = 20;
static long idle_ns = 100000000L; /* how often a thread that has nothing to do looks for work; 0.1 to 1 s */
static char own_address[32] = "0.0.0.0";
static uint32_t crc_table[256];

static int64_t clock_ms(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Every thread counts from a whole multiple of what an idle one waits, so that those with one period wake at one time. A guest
   without hardware virtualisation pays for each time that it wakes, and with wakes all over the place its kernel never stops its
   tick: most of what it used. */
static void from_common_start(struct timespec *next)
{
    clock_gettime(CLOCK_MONOTONIC, next);
    next->tv_nsec -= next->tv_nsec % idle_ns;
}

static void wait_until(struct timespec *next, long nanoseconds)
{
    struct timespec now;
    next->tv_nsec += nanoseconds;
    while (next->tv_nsec >= 1000000000L) {
        next->tv_nsec -= 1000000000L;
        next->tv_sec++;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > next->tv_sec + 1)
        from_common_start(next); /* after a long stop, do not catch up with a burst */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
        ;
}

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}

static uint32_t crc32(const unsigned char *data, size_t size)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++)
        c = crc_table[(c ^ data[i]) & 0xFF] ^ (c >> 8);
    return c ^ 0xFFFFFFFFu;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* ---- disks ---- */

static void make_record(unsigned char *record, const struct disk *disk, uint64_t sequence)
{
    struct timespec now;
    uint64_t pattern = sequence * 0x9E3779B97F4A7C15ull + disk->index + 1;
    clock_gettime(CLOCK_REALTIME, &now);
    memcpy(record, "VKR1", 4);
    put(record + 8, sequence, 8);
    put(record + 16, disk->index, 4);
    put(record + 20, 0, 4);
    put(record + 24, boot_id, 8);
    put(record + 32, atomic_load(&counter), 8);
    put(record + 40, (uint64_t)now.tv_sec * 1000000000ull + now.tv_nsec, 8);
    for (int at = 48; at < RECORD; at += 8)
        put(record + at, next_random(&pattern), 8);
    put(record + 4, crc32(record + 8, RECORD - 8), 4);
}

static uint64_t find_last(const struct disk *disk, unsigned char *buffer)
{
    uint64_t last = 0;
    for (uint32_t at = 0; at < CAPACITY * RECORD; at += CHUNK) {
        if (pread(disk->fd, buffer, CHUNK, RECORDS_AT + (off_t)at) != (ssize_t)CHUNK)
            continue;
        for (uint32_t i = 0; i < CHUNK; i += RECORD) {
            const unsigned char *record = buffer + i;
            if (memcmp(record, "VKR1", 4) || get(record + 4, 4) != crc32(record + 8, RECORD - 8))
                continue;
            if (get(record + 8, 8) > last)
                last = get(record + 8, 8);
        }
    }
    return last;
}

static void write_header(const struct disk *disk, unsigned char *buffer)
{
    memset(buffer, 0, RECORD);
    memcpy(buffer, "VKLBEAT1", 8);
    put(buffer + 8, CAPACITY, 4);
    put(buffer + 12, RECORD, 4);
    put(buffer + 16, RECORDS_AT, 8);
    put(buffer + 24, disk->index, 4);
    if (pwrite(disk->fd, buffer, RECORD, HEADER_AT) != RECORD)
        printf("beat: %s: header: %s\n", disk->device, strerror(errno));
}

static void *record_thread(void *argument)
{
    struct disk *disk = argument;
    unsigned char *buffer = NULL;
    struct timespec next;
    if (posix_memalign((void **)&buffer, 4096, CHUNK))
        return NULL;
    uint64_t sequence = find_last(disk, buffer) + 1;
    write_header(disk, buffer);
    atomic_store(&disk->durable, sequence - 1);
    from_common_start(&next);
    for (;;) {
        long rate = atomic_load(&record_rate);
        wait_until(&next, rate > 0 ? 1000000000L / rate : idle_ns);
        if (rate <= 0)
            continue;
        make_record(buffer, disk, sequence);
        if (pwrite(disk->fd, buffer, RECORD, RECORDS_AT + (off_t)(sequence % CAPACITY) * RECORD) != RECORD) {
            atomic_fetch_add(&disk->errors, 1); /* the same number is tried again */
            continue;
        }
        atomic_store(&disk->durable, sequence++);
    }
}

static void *fill_thread(void *argument)
{
    struct disk *disk = argument;
    unsigned char *buffer = NULL;
    uint64_t seed = boot_id | 1, at = FILL_AT;
    struct timespec next;
    if (posix_memalign((void **)&buffer, 4096, CHUNK))
        return NULL;
    from_common_start(&next);
    for (;;) {
        if (atomic_load(&disk->fill_done) >= atomic_load(&disk->fill_wanted) || disk->bytes < FILL_AT + CHUNK) {
            wait_until(&next, idle_ns);
            continue;
        }
        for (uint32_t i = 0; i < CHUNK; i += 8) {
            uint64_t word = next_random(&seed);
            memcpy(buffer + i, &word, 8);
        }
        if (at + CHUNK > disk->bytes)
            at = FILL_AT;
        if (pwrite(disk->fd, buffer, CHUNK, (off_t)at) != (ssize_t)CHUNK)
            atomic_fetch_add(&disk->errors, 1);
        at += CHUNK;
        atomic_fetch_add(&disk->fill_done, CHUNK);
    }
}

static void open_disks(void)
{
    for (char letter = 'a'; letter < 'z' && disk_count < MAX_DISKS; letter++) {
        struct disk *disk = &disks[disk_count];
        int read_only = 0;
        snprintf(disk->device, sizeof disk->device, "/dev/vd%c", letter);
        disk->fd = open(disk->device, O_RDWR | O_DIRECT | O_DSYNC);
        if (disk->fd < 0)
            continue;
        if (ioctl(disk->fd, BLKGETSIZE64, &disk->bytes) || disk->bytes < SMALLEST_DISK ||
            (!ioctl(disk->fd, BLKROGET, &read_only) && read_only)) {
            close(disk->fd);
            continue;
        }
        disk->index = disk_count++;
        printf("beat: %s is disk %d with %" PRIu64 " bytes\n", disk->device, disk->index, disk->bytes);
    }
}

/* ---- memory ---- */

static void *dirty_thread(void *argument)
{
    size_t pages = (size_t)area_mib << 8, at = 0;
    uint64_t seed = boot_id | 1;
    struct timespec next;
    (void)argument;
    unsigned char *area = mmap(NULL, pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || !pages)
        return NULL;
    from_common_start(&next);
    double owed = 0;
    for (;;) {
        long rate = atomic_load(&dirty_rate);
        wait_until(&next, rate > 0 ? 10000000L : idle_ns);
        owed += (double)rate / 100.0;
        for (; owed >= 1; owed -= 1) {
            uint64_t word = next_random(&seed);
            memcpy(area + (at << 12) + (word & 0xFF8), &word, 8);
            memcpy(area + (at << 12), &word, 8);
            at = (at + 1) % pages;
            atomic_fetch_add(&dirtied, 1);
        }
    }
}

/* ---- serial and power ---- */

static void *serial_thread(void *argument)
{
    struct timespec next;
    (void)argument;
    from_common_start(&next);
    for (;;) {
        wait_until(&next, idle_ns);
        printf("beat %llu %" PRId64 "\n", atomic_load(&counter), clock_ms(CLOCK_REALTIME));
        fflush(stdout);
    }
}

static void power(int how)
{
    sync();
    reboot(how);
    for (;;)
        pause();
}

static void *button_thread(void *argument)
{
    struct pollfd files[8];
    int count = 0;
    (void)argument;
    for (int i = 0; i < 8; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd >= 0)
            files[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    while (count && poll(files, count, -1) >= 0)
        for (int i = 0; i < count; i++) {
            struct input_event event;
            while (read(files[i].fd, &event, sizeof event) == (ssize_t)sizeof event)
                if (event.type == EV_KEY && event.code == KEY_POWER && event.value) {
                    printf("beat: power button\n");
                    power(RB_POWER_OFF);
                }
        }
    return NULL;
}

/* ---- network ---- */

static size_t write_beat(char *text, size_t size, const char *kind)
{
    int at = snprintf(text, size,
                      "{\"k\":\"%s\",\"i\":\"%s\",\"b\":\"%016" PRIx64 "\",\"c\":%llu,\"m\":%" PRId64 ",\"t\":%" PRId64 ",\"a\":[",
                      kind, own_address, boot_id, atomic_load(&counter), clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_REALTIME));
    for (int i = 0; i < disk_count; i++)
        at += snprintf(text + at, size - at, "%s%llu", i ? "," : "", atomic_load(&disks[i].durable));
    at += snprintf(text + at, size - at, "],\"e\":[");
    for (int i = 0; i < disk_count; i++)
        at += snprintf(text + at, size - at, "%s%llu", i ? "," : "", atomic_load(&disks[i].errors));
    at += snprintf(text + at, size - at, "]");
    if (!strcmp(kind, "status")) {
        at += snprintf(text + at, size - at, ",\"dirty\":%ld,\"records\":%ld,\"interval\":%ld,\"area_mib\":%ld,\"dirtied\":%ld,\"filled\":[",
                       atomic_load(&dirty_rate), atomic_load(&record_rate), interval_ms, area_mib, atomic_load(&dirtied));
        for (int i = 0; i < disk_count; i++)
            at += snprintf(text + at, size - at, "%s[%llu,%llu]", i ? "," : "", atomic_load(&disks[i].fill_done),
                           atomic_load(&disks[i].fill_wanted));
        at += snprintf(text + at, size - at, "]");
    }
    at += snprintf(text + at, size - at, "}");
    return (size_t)at;
}

static void subscribe(const struct sockaddr_in *from)
{
    int64_t now = clock_ms(CLOCK_MONOTONIC);
    struct client *slot = NULL;
    for (int i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &clients[i];
        if (client->until && client->address.sin_addr.s_addr == from->sin_addr.s_addr &&
            client->address.sin_port == from->sin_port) {
            client->until = now + LEASE_MS;
            return;
        }
        if (!slot || client->until < slot->until)
            slot = client;
    }
    slot->address = *from;
    slot->until = now + LEASE_MS;
}

static void unsubscribe(const struct sockaddr_in *from)
{
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (clients[i].address.sin_port == from->sin_port && clients[i].address.sin_addr.s_addr == from->sin_addr.s_addr)
            clients[i].until = 0;
}

static void command(int sock, char *text, const struct sockaddr_in *from)
{
    char answer[1024];
    unsigned disk;
    unsigned long long amount;
    long number;
    size_t size;
    if (!strcmp(text, "sub")) {
        subscribe(from);
        return;
    }
    if (!strcmp(text, "unsub")) {
        unsubscribe(from);
        return;
    }
    if (sscanf(text, "dirty %ld", &number) == 1)
        atomic_store(&dirty_rate, number);
    else if (sscanf(text, "records %ld", &number) == 1)
        atomic_store(&record_rate, number);
    else if (sscanf(text, "fill %u %llu", &disk, &amount) == 2 && disk < (unsigned)disk_count)
        atomic_fetch_add(&disks[disk].fill_wanted, amount << 20);
    else if (!strcmp(text, "poweroff"))
        power(RB_POWER_OFF);
    else if (!strcmp(text, "reboot"))
        power(RB_AUTOBOOT);
    else if (strcmp(text, "status")) {
        size = (size_t)snprintf(answer, sizeof answer, "{\"k\":\"error\",\"text\":\"unknown command\"}");
        sendto(sock, answer, size, 0, (const struct sockaddr *)from, sizeof *from);
        return;
    }
    size = write_beat(answer, sizeof answer, "status");
    sendto(sock, answer, size, 0, (const struct sockaddr *)from, sizeof *from);
}

static void serve(int sock)
{
    int64_t next = clock_ms(CLOCK_MONOTONIC), idle_ms = idle_ns / 1000000;
    for (;;) {
        int64_t now = clock_ms(CLOCK_MONOTONIC);
        if (now >= next) {
            char text[1024];
            int64_t wait = interval_ms > idle_ms ? interval_ms : idle_ms; /* unless somebody watches */
            atomic_fetch_add(&counter, 1);
            size_t size = write_beat(text, sizeof text, "beat");
            for (int i = 0; i < MAX_CLIENTS; i++)
                if (clients[i].until > now) {
                    sendto(sock, text, size, MSG_DONTWAIT, (struct sockaddr *)&clients[i].address, sizeof clients[i].address);
                    wait = interval_ms;
                }
            next = (now - next > 1000 ? now : next) + wait;
            next -= next % wait;
            continue;
        }
        struct pollfd file = {.fd = sock, .events = POLLIN};
        if (poll(&file, 1, (int)(next - now)) <= 0)
            continue;
        char text[256];
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(sock, text, sizeof text - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (got < 0)
            continue;
        text[got] = 0;
        text[strcspn(text, "\r\n")] = 0;
        command(sock, text, &from);
    }
}

static void set_address(const char *name, const char *address, int prefix)
{
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    in->sin_family = AF_INET;
    if (address) {
        inet_pton(AF_INET, address, &in->sin_addr);
        if (ioctl(sock, SIOCSIFADDR, &request))
            printf("beat: %s: address %s: %s\n", name, address, strerror(errno));
        in->sin_addr.s_addr = htonl(prefix ? ~0u << (32 - prefix) : 0);
        ioctl(sock, SIOCSIFNETMASK, &request);
    }
    memset(&request.ifr_ifru, 0, sizeof request.ifr_ifru);
    ioctl(sock, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(sock, SIOCSIFFLAGS, &request))
        printf("beat: %s: up: %s\n", name, strerror(errno));
    close(sock);
}

/* ---- start ---- */

static void load_modules(void)
{
    char name[128], path[160];
    FILE *list = fopen("/modules/order", "r");
    while (list && fgets(name, sizeof name, list)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
            printf("beat: module %s: %s\n", name, strerror(errno));
        close(fd);
    }
    if (list)
        fclose(list);
}

static void read_options(void)
{
    static char line[4096];
    int prefix = 24;
    FILE *file = fopen("/proc/cmdline", "r");
    if (!file || !fgets(line, sizeof line, file))
        return;
    fclose(file);
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        if (!strncmp(word, "lab.ip=", 7)) {
            char *slash = strchr(word, '/');
            if (slash) {
                *slash = 0;
                prefix = atoi(slash + 1);
            }
            snprintf(own_address, sizeof own_address, "%s", word + 7);
        } else if (!strncmp(word, "lab.records=", 12))
            atomic_store(&record_rate, atol(word + 12));
        else if (!strncmp(word, "lab.dirty=", 10))
            atomic_store(&dirty_rate, atol(word + 10));
        else if (!strncmp(word, "lab.area=", 9))
            area_mib = atol(word + 9);
        else if (!strncmp(word, "lab.interval=", 13) && atol(word + 13) > 0)
            interval_ms = atol(word + 13);
    }
    if (interval_ms > 100)
        idle_ns = (interval_ms < 1000 ? interval_ms : 1000) * 1000000L;
    set_address("lo", "127.0.0.1", 8);
    set_address("eth0", own_address, prefix);
}

static void start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    if (pthread_create(&thread, &attributes, body, argument))
        printf("beat: thread: %s\n", strerror(errno));
}

int main(void)
{
    struct timespec now;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sched_param priority = {.sched_priority = 10};

    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    if (console >= 0)
        for (int fd = 0; fd < 3; fd++)
            dup2(console, fd);
    setvbuf(stdout, NULL, _IOLBF, 0);
    reboot(RB_DISABLE_CAD);
    crc_init();
    load_modules();
    clock_gettime(CLOCK_REALTIME, &now);
    if (getrandom(&boot_id, sizeof boot_id, GRND_INSECURE) != sizeof boot_id)
        boot_id = 0;
    boot_id ^= ((uint64_t)now.tv_sec << 20) ^ now.tv_nsec;
    read_options();
    open_disks();

    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(sock, (struct sockaddr *)&here, sizeof here))
        printf("beat: port %d: %s\n", PORT, strerror(errno));
    for (int i = 0; i < disk_count; i++) {
        start(record_thread, &disks[i]);
        start(fill_thread, &disks[i]);
    }
    start(dirty_thread, NULL);
    start(serial_thread, NULL);
    start(button_thread, NULL);
    printf("beat: ready, boot %016" PRIx64 ", address %s, %d disks\n", boot_id, own_address, disk_count);
    sched_setscheduler(0, SCHED_FIFO, &priority);
    serve(sock);
}
