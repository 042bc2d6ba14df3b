// SPDX-FileCopyrightText: 2026 The virtops.kvm authors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// The init of a lab guest with IDE disks: loads their drivers, gives the disks the names under which the guest's
// program looks for its own, behind those of all virtio disks, and becomes that program.

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATIENCE 600 // tenths of a second; the kernel looks for disks in the background

static void load_drivers(void)
{
    char name[128], path[160];
    FILE *list = fopen("/ide/order", "r");
    while (list && fgets(name, sizeof name, list)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "/ide/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
            perror(path);
        close(fd);
    }
    if (list)
        fclose(list);
}

int main(void)
{
    char disk[] = "/dev/sda", as[] = "/dev/vdv";
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_drivers();
    for (int waited = 0; waited < PATIENCE && access(disk, F_OK); waited++)
        usleep(100000);
    for (int number = 0; number < 4; number++) {
        disk[7] = 'a' + number;
        as[7] = 'v' + number;
        if (!access(disk, F_OK) && symlink(disk, as))
            perror(as);
    }
    execl("/beat", "/beat", NULL);
    perror("/beat");
    return 1;
}
