/* The peer of benches/fork.rs: reads a number, makes that many vfork + _exit + waitpid, answers with a newline. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	long n;

	while (scanf("%ld", &n) == 1) {
		while (n-- > 0) {
			pid_t child = vfork();

			if (child == 0)
				_exit(0);
			if (child < 0 || waitpid(child, NULL, 0) != child)
				return 1;
		}
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
