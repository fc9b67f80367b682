"""Dividing work among processes that end with the one that started them."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any

PARENT_LOOKED_AFTER = 1.0  # seconds

_work: Callable[[int], Any]


def in_processes(work: Callable[[int], Any], items: Sequence[int], processes: int) -> Iterator[Any]:
    """Yield what a function returns for each item, in the order in which they are finished.

    With one process, or one item, everything runs in this one. Otherwise processes are forked, so the function may
    hold anything; they share the items, and are ended when an item fails or the caller stops.

    Args:
        work: Called with one item; what it returns or raises must be picklable.
        items: What to work on.
        processes: How many, at most.
    """
    if min(processes, len(items)) <= 1:
        yield from map(work, items)
        return
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(min(processes, len(items)), fork, initializer=_begin, initargs=(work, os.getpid()))
    try:
        futures: list[Future[Any]] = [pool.submit(_call, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[int], Any], parent: int) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    """End this process once its parent is gone, which a killed parent cannot see to."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_AFTER)
    os._exit(1)


def _call(item: int) -> Any:
    return _work(item)
