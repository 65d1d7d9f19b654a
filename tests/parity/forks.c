/*
 * forks KIND CPU: forks as KIND says, and prints each fork as "CALLER CHILD" (thread ids), "started PID" ahead of them.
 *
 * The forking is done by a child of the program, so that with CLONE_PARENT the new process is the program's own. CPU -1
 * is any.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static pid_t gettid_(void)
{
	return syscall(SYS_gettid);
}

/* One write: lines of several processes do not mix. */
static void say(long who, long child)
{
	char line[64];
	int len = who ? snprintf(line, sizeof(line), "%ld %ld\n", who, child)
		      : snprintf(line, sizeof(line), "started %ld\n", child);

	if (write(1, line, len) != len)
		_exit(3);
}

static pid_t forks(void)
{
	pid_t child = fork();

	if (child < 0)
		_exit(2);
	if (child > 0)
		say(gettid_(), child);
	return child;
}

static void reap(int children)
{
	while (children > 0)
		if (wait(NULL) > 0)
			children--;
		else if (errno != EINTR)
			_exit(2);
}

static void many(int n)
{
	for (int i = 0; i < n; i++)
		if (forks() == 0)
			_exit(0);
	reap(n);
}

static void chain(int n)
{
	while (n-- > 0)
		if (forks() != 0) {
			reap(1);
			break;
		}
	_exit(0);
}

static void vforks(void)
{
	pid_t child = vfork();

	if (child == 0)
		_exit(0);
	say(gettid_(), child);
	reap(1);
}

static char stack[65536] __attribute__((aligned(16)));
static volatile pid_t running;

static int idle(void *unused)
{
	(void)unused;
	return 0;
}

static int forking(void *unused)
{
	(void)unused;
	many(1);
	return 0;
}

/* A thread; the kernel clears `running` when it has ended. */
static void thread(int (*body)(void *))
{
	int flags = THREAD | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	long id;

	running = -1;
	id = clone(body, stack + sizeof(stack), flags, NULL, &running, NULL, &running);
	if (id < 0)
		_exit(2);
	say(gettid_(), id);
	while (running)
		sched_yield();
}

static void sibling(void)
{
	pid_t child = clone(idle, stack + sizeof(stack), CLONE_PARENT | SIGCHLD, NULL);

	if (child < 0)
		_exit(2);
	say(gettid_(), child);
}

static void act(const char *kind)
{
	if (!strcmp(kind, "fork"))
		many(1);
	else if (!strcmp(kind, "fan"))
		many(8);
	else if (!strcmp(kind, "storm"))
		many(500);
	else if (!strcmp(kind, "vfork"))
		vforks();
	else if (!strcmp(kind, "chain"))
		chain(5);
	else if (!strcmp(kind, "thread"))
		thread(idle);
	else if (!strcmp(kind, "thread-forks"))
		thread(forking);
	else if (!strcmp(kind, "sibling"))
		sibling();
	else
		_exit(2);
	_exit(0);
}

int main(int argc, char **argv)
{
	int cpu = argc == 3 ? atoi(argv[2]) : -1;
	pid_t child;

	if (argc != 3)
		return 2;
	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return 2;
	}
	child = fork();
	if (child == 0) {
		say(0, getpid());
		act(argv[1]);
	}
	for (;;) {
		int status;
		pid_t gone = wait(&status);

		if (gone < 0 && errno == EINTR)
			continue;
		if (gone < 0)
			return child < 0 || errno != ECHILD ? 2 : 0;
		if (status)
			return 2;
	}
}
