// Allocates and frees a block of argv[1] bytes argv[2] times, and prints the nanoseconds that one round took.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *volatile kept; // or the compiler would leave both calls out

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	size_t size = strtoull(argv[1], NULL, 10);
	long times = strtol(argv[2], NULL, 10);
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < times; i++) {
		kept = malloc(size);
		free(kept);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.3f\n", ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / times);
	return 0;
}
