/* What libzmq calls in place of accept(2): it is compiled with -Daccept=pipeline_accept.
 *
 * Owns what happens when no descriptor is left for a connection: libzmq aborts the process over ipc,
 * and over tcp tries again without end, since the connection goes on waiting. Here it is taken with a
 * descriptor that is kept for this, and closed, so that whoever has connected knows and tries again
 * later. Refuses everything else: all other results are those of the system.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long a thread rests when nothing can be done, so that it does not spin. */
#define REST_MS 10

static pthread_mutex_t keeper = PTHREAD_MUTEX_INITIALIZER;
/* Not open yet, or given away, while it is -1. */
static int spare = -1;

int pipeline_accept(int listener, struct sockaddr *address, socklen_t *length);

/* Called with the lock held. */
static void keep_spare(void)
{
    if (spare == -1)
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void turn_away(int listener)
{
    int connection;

    pthread_mutex_lock(&keeper);
    if (spare != -1) {
        close(spare);
        spare = -1;
    }
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection != -1)
        close(connection);
    keep_spare();
    pthread_mutex_unlock(&keeper);
    /* Another thread was faster to take the descriptor. */
    if (connection == -1)
        poll(NULL, 0, REST_MS);
}

int pipeline_accept(int listener, struct sockaddr *address, socklen_t *length)
{
    int connection = accept4(listener, address, length, SOCK_CLOEXEC);

    if (connection != -1) {
        pthread_mutex_lock(&keeper);
        keep_spare();
        pthread_mutex_unlock(&keeper);
        return connection;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        turn_away(listener);
        /* The one of these that libzmq bears over ipc as well as over tcp. */
        errno = ENFILE;
    }
    return -1;
}
