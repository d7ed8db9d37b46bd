// libzmq's compile-time settings, instead of those in its own file, whose guard is taken here. All but the
// first are the values of 4.3.5.
#ifndef __ZMQ_CONFIG_HPP_INCLUDED__
#define __ZMQ_CONFIG_HPP_INCLUDED__

namespace zmq {
enum {
    // A pipe makes room for so many messages at a time, and keeps as much in reserve. There it is 256, so that
    // each of the pipes of a thousand peers takes 32 KiB under load; here parcels are few and large.
    message_pipe_granularity = 32,

    command_pipe_granularity = 16,
    inbound_poll_rate = 100,
    max_wm_delta = 1024,
    max_io_events = 256,
    proxy_burst_size = 1000,
    max_command_delay = 3000000,
    clock_precision = 1000000,
    signaler_port = 0
};
}

#endif
