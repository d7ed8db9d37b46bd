"""Tests of CPython that say something else of pools than this package does, each with its reason.

A name is that of the class and the test, or of the test alone.
"""

INHERITED = (
    "it hands over a lock or a queue that only multiprocessing's own children inherit; a manager's travels"
)
INSIDE = "it looks at private parts of the other pool"
ON_DEMAND = "workers are started at once, not when calls come"
NAMED = "what workers print has their name in front, where there are several"
GOES_ON = "the call alone fails, with what was raised, and the pool goes on"

# Not run: they are about something that is not there.
NOT_APPLICABLE = {
    "FailingInitializer.test_initializer": INHERITED,
    "test_saturation": INHERITED,
    "test_processes_terminate": INHERITED,
    "test_idle_process_reuse_one": ON_DEMAND,
    "test_idle_process_reuse_multiple": ON_DEMAND,
    "test_killed_child": "a worker that dies breaks nothing: its calls run again",
    "test_max_tasks_per_child_defaults_to_spawn_context": INSIDE,
    "test_context_manager_shutdown": "it makes a ProcessPoolExecutor of its own",
    "test_del_shutdown": "it makes a ProcessPoolExecutor of its own",
    "test_shutdown_no_wait": "it makes a ProcessPoolExecutor of its own",
    "test_shutdown_deadlock_pickle": INSIDE,
    "test_make_pool": INSIDE,
    "test_pool_worker_lifetime": INSIDE,
    "test_resource_warning": INSIDE,
    "test_worker_finalization_via_atexit_handler_of_multiprocessing": "it makes a multiprocessing.Pool of its own",
}

# Run, and expected to fail.
DIFFERENT = {
    "test_cancel_futures": "a call whose result has not come can be cancelled, also when a worker has begun it",
    "test_interpreter_shutdown": NAMED,
    "test_hang_gh83386": NAMED,
    "test_error_at_task_unpickle": GOES_ON,
    "test_exit_at_task_unpickle": GOES_ON,
    "test_error_during_result_unpickle_in_result_handler": GOES_ON,
    "test_exit_during_result_unpickle_in_result_handler": GOES_ON,
    "test_traceback": "the cause with the worker's traceback is of a type of this package",
    "test_imap_handle_iterable_exception": "all that the iterator gave before it raised has a result: no chunks",
    "test_unpickleable_result": "it is a PicklingError or TypeError, with the type and the path of the object",
}
