/* A worker of gearmand that squares integers. usage: gearman_worker PORT */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *square(gearman_job_st *job, void *context, size_t *size, gearman_return_t *rc) {
    (void)context;
    char text[32] = {0};
    size_t length = gearman_job_workload_size(job);
    memcpy(text, gearman_job_workload(job), length < 31 ? length : 31);
    long number = strtol(text, NULL, 10);
    char *result = malloc(32);
    *size = (size_t)snprintf(result, 32, "%ld", number * number);
    *rc = GEARMAN_SUCCESS;
    return result;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 64;
    gearman_worker_st *worker = gearman_worker_create(NULL);
    gearman_worker_add_server(worker, "127.0.0.1", (in_port_t)atoi(argv[1]));
    gearman_worker_add_function(worker, "square", 0, square, NULL);
    while (gearman_worker_work(worker) == GEARMAN_SUCCESS) {
    }
    return 1;
}
