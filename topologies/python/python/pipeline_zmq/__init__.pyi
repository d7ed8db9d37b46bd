"""What a type checker knows of the package; the docstrings are where the code is."""

import concurrent.futures
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from types import ModuleType, TracebackType
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, TypedDict, TypeVar, overload

from ._native import Ticket as Ticket

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

class UnitError(RuntimeError):
    unit: int | None
    stage: str | int | None
    attempts: int
    input: Any
    type_name: str | None
    traceback: str | None

class Crashed(UnitError): ...
class Broken(RuntimeError): ...
class NoService(ConnectionError): ...
class NoWorkers(RuntimeError): ...
class Full(RuntimeError): ...
class Expired(LookupError): ...

class Unit(NamedTuple):
    id: int
    name: str
    attempt: int
    stage: str

class Stats(TypedDict):
    read: int
    done: int
    failed: int
    workers: int
    restarts: int

class ServiceStats(TypedDict):
    queued: int
    queued_bytes: int
    oldest_ms: int | None
    clients: int
    done: int
    kept: int
    kept_bytes: int

class Service:
    def submit(
        self,
        value: object,
        *,
        unique: str | None = None,
        once: str | None = None,
        priority: int = 0,
        delay: float | None = None,
        ttl: float | None = None,
        block: bool = True,
        wait_for_workers: bool = False,
    ) -> Ticket: ...
    def submit_many(
        self,
        values: Iterable[Any],
        *,
        priority: int = 0,
        delay: float | None = None,
        ttl: float | None = None,
        block: bool = True,
        wait_for_workers: bool = False,
    ) -> list[Ticket]: ...
    def call(
        self,
        value: object,
        timeout: float | None = None,
        *,
        unique: str | None = None,
        priority: int = 0,
        ttl: float | None = None,
        wait_for_workers: bool = False,
    ) -> Any: ...
    def map(
        self,
        values: Iterable[Any],
        *,
        window: int | None = None,
        priority: int = 0,
        wait_for_workers: bool = False,
    ) -> Iterator[Any]: ...
    def stream(
        self,
        value: object,
        timeout: float | None = None,
        *,
        priority: int = 0,
        ttl: float | None = None,
        wait_for_workers: bool = False,
    ) -> Iterator[Any]: ...
    def ticket(self, text: str | Ticket) -> Ticket: ...
    def stats(self) -> ServiceStats: ...
    def close(self) -> None: ...
    def __enter__(self) -> Service: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None: ...

class Results(Iterator[R], Generic[R]):
    def __iter__(self) -> Results[R]: ...
    def __next__(self) -> R: ...
    def next(self, timeout: float | None = None) -> R: ...
    def close(self) -> None: ...

class AsyncResult(Generic[R]):
    def ready(self) -> bool: ...
    def successful(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> None: ...
    def get(self, timeout: float | None = None) -> R: ...
    def cancel(self) -> bool: ...
    def __await__(self) -> Generator[Any, None, R]: ...

class Pool:
    def __init__(
        self,
        workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        bind: str | None = None,
        key: str | os.PathLike[str] | None = None,
        init: Callable[..., object] | None = None,
        retries: int = 0,
        backoff: float = 0.1,
        crash_limit: int = 3,
        timeout: float | None = None,
        max_units_per_worker: int | None = None,
        concurrency: int = 1,
        codec: Literal["auto", "plain"] = "auto",
        ship: Iterable[ModuleType | str] = (),
        env: Mapping[str, str] | None = None,
        window: int | None = None,
        progress: bool = False,
        processes: int | None = None,
    ) -> None: ...
    def map(self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int | None = None) -> list[R]: ...
    def starmap(
        self, func: Callable[..., R], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[R]: ...
    def map_async(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[R]]: ...
    def starmap_async(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[R]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[R]]: ...
    def imap(
        self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int | None = None
    ) -> Results[R]: ...
    def imap_unordered(
        self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int | None = None
    ) -> Results[R]: ...
    def apply(self, func: Callable[..., R], args: Iterable[Any] = (), kwds: Mapping[str, Any] = ...) -> R: ...
    def apply_async(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = ...,
        callback: Callable[[R], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[R]: ...
    async def amap(self, func: Callable[[T], R], iterable: Iterable[T]) -> list[R]: ...
    def aimap(
        self, func: Callable[[T], R], iterable: Iterable[T], *, ordered: bool = True
    ) -> AsyncIterator[R]: ...
    def executor(self, max_pending: int = 100_000) -> Executor: ...
    def workers(self) -> dict[str, int]: ...
    def stats(self) -> Stats: ...
    def close(self) -> None: ...
    def terminate(self) -> None: ...
    def join(self) -> None: ...
    def __enter__(self) -> Pool: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None: ...

class Executor(concurrent.futures.Executor):
    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        max_pending: int = 100_000,
        pool: Pool | None = None,
        **options: Any,
    ) -> None: ...
    def submit(
        self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[R]: ...

@overload
def map(
    fn: Callable[[T], R], iterable: Iterable[T], /, *, workers: int | None = None, **pool: Any
) -> list[R]: ...
@overload
def map(
    fn: Callable[..., R], /, *iterables: Iterable[Any], workers: int | None = None, **pool: Any
) -> list[R]: ...
@overload
def imap(
    fn: Callable[[T], R],
    iterable: Iterable[T],
    /,
    *,
    workers: int | None = None,
    ordered: bool = True,
    **pool: Any,
) -> Iterator[R]: ...
@overload
def imap(
    fn: Callable[..., R],
    /,
    *iterables: Iterable[Any],
    workers: int | None = None,
    ordered: bool = True,
    **pool: Any,
) -> Iterator[R]: ...
@overload
def imap_unordered(
    fn: Callable[[T], R], iterable: Iterable[T], /, *, workers: int | None = None, **pool: Any
) -> Iterator[R]: ...
@overload
def imap_unordered(
    fn: Callable[..., R], /, *iterables: Iterable[Any], workers: int | None = None, **pool: Any
) -> Iterator[R]: ...
def worker(function: F) -> F: ...
def work(fn: Callable[[Any], Any], ventilator: str | None = None, stage: str | None = None) -> None: ...
def unit() -> Unit | None: ...
def connect(
    name: str,
    *,
    key: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    client: str = "",
    first: int = 0,
    timeout: float = 5.0,
    codec: Literal["plain", "auto"] = "plain",
    on_disconnect: Literal["detach", "cancel"] = "detach",
) -> Service: ...
def run(
    topology: str | os.PathLike[str],
    *,
    interpreter: str | None = None,
    env: Mapping[str, str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    fresh: bool = False,
    **settings: Any,
) -> Iterator[Any] | None: ...
