// SPDX-FileCopyrightText: 2026 The virtops.kvm authors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// All of a vm host's initramfs: load the modules that the root disk and the network need, mount the disk, become its init.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	for (;;)
		pause();
}

static void load_modules(void)
{
	char name[128], path[160];
	FILE *order = fopen("/modules/order", "r");

	while (order && fgets(name, sizeof(name), order)) {
		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof(path), "/modules/%s", name);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0 || syscall(SYS_finit_module, file, "", 0))
			perror(path);
		close(file);
	}
	if (order)
		fclose(order);
}

int main(void)
{
	if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL))
		die("/dev");
	load_modules();
	for (int tries = 0; access("/dev/vda", F_OK) && tries < 6000; tries++)
		usleep(10000);
	mkdir("/root", 0755);
	if (mount("/dev/vda", "/root", "ext4", MS_NOATIME, NULL))
		die("/dev/vda");
	if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) || chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		die("the root file system");
	char *words[] = {"/sbin/init", NULL};
	execv(words[0], words);
	die(words[0]);
}
