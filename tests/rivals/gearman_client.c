/* Squares integers through gearmand: one by one, then pipelined; each result is checked.
 * usage: gearman_client PORT CALLS PIPELINED; prints p50 and p99 in microseconds, then calls a second. */
#include <libgearman/gearman.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static long done = 0;

static gearman_return_t complete(gearman_task_st *task) {
    long square = strtol(gearman_task_data(task), NULL, 10);
    long number = (long)(intptr_t)gearman_task_context(task);
    if (square != number * number)
        exit(2);
    done++;
    return GEARMAN_SUCCESS;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 64;
    int port = atoi(argv[1]);
    long calls = atol(argv[2]), pipelined = atol(argv[3]);
    gearman_client_st *client = gearman_client_create(NULL);
    gearman_client_add_server(client, "127.0.0.1", (in_port_t)port);
    double *times = calloc((size_t)calls, sizeof *times);
    for (long i = 0; i < calls; i++) {
        char text[32];
        size_t size;
        gearman_return_t rc;
        int length = snprintf(text, sizeof text, "%ld", i);
        double start = now();
        char *result = gearman_client_do(client, "square", NULL, text, (size_t)length, &size, &rc);
        times[i] = now() - start;
        if (rc != GEARMAN_SUCCESS || strtol(result, NULL, 10) != i * i)
            return 1;
        free(result);
    }
    qsort(times, (size_t)calls, sizeof *times, compare);
    gearman_client_set_complete_fn(client, complete);
    char (*texts)[32] = calloc((size_t)pipelined, sizeof *texts);
    double start = now();
    for (long i = 0; i < pipelined;) {
        for (long end = i + 1000; i < end && i < pipelined; i++) {
            gearman_return_t rc;
            int length = snprintf(texts[i], sizeof texts[i], "%ld", i);
            gearman_client_add_task(client, NULL, (void *)(intptr_t)i, "square", NULL, texts[i],
                                    (size_t)length, &rc);
        }
        gearman_client_run_tasks(client);
    }
    if (done != pipelined)
        return 1;
    printf("%.0f %.0f %.0f\n", times[calls / 2], times[calls * 99 / 100],
           (double)pipelined / ((now() - start) / 1e6));
    return 0;
}
