import time

import pytest

from autoreg.ledger import writer as module
from autoreg.ledger.writer import Writer


class Store:
    """Where a writer delivers to: it is away when told, and keeps what arrives."""

    def __init__(self):
        self.there, self.seen, self.kept, self.tries, self.emptied = True, [], [], 0, 0

    def deliver(self, item):
        self.tries += 1
        if item == "bug":
            raise KeyError(item)
        if not self.there:
            raise OSError("connection refused")
        self.seen.append(item)

    def keep(self, item):
        if item not in self.kept:
            self.kept.append(item)

    def empty(self):
        self.emptied += 1

    def writer(self):
        return Writer(self.deliver, self.keep, lambda error: isinstance(error, OSError), self.empty)


@pytest.fixture
def store():
    return Store()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "HURRIED_PAUSE", 0.02)


def test_what_arrives_is_in_order_and_nothing_is_kept_while_the_store_is_there(store):
    writer = store.writer()
    for item in range(50):
        writer.put(item)
    assert writer.flush()
    assert (store.seen, store.kept, writer.outages) == (list(range(50)), [], [])
    assert store.emptied


def test_an_absent_store_gets_everything_in_order_when_it_is_back(store):
    store.there, writer = False, store.writer()
    for item in range(5):
        writer.put(item)
    assert not writer.flush(0.2)
    assert (store.seen, store.kept) == ([], [0, 1, 2, 3, 4])
    writer.put(5)
    assert store.kept[-1] == 5  # before it is queued
    store.there = True
    assert writer.flush()
    assert store.seen == [0, 1, 2, 3, 4, 5]
    went, came = writer.outages
    assert "refused" in str(went)
    assert came is None


def test_pauses_grow_and_a_waiting_driver_shortens_them(store, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    store.there, writer = False, store.writer()
    writer.put(0)
    time.sleep(1.0)
    unhurried, store.tries = store.tries, 0
    assert 3 <= unhurried <= 5  # at 0, .1, .3 and .7 s
    writer.flush(1.0)
    assert store.tries > 10


def test_a_bug_ends_the_writing_and_is_raised_in_the_drivers_thread(store):
    writer = store.writer()
    writer.put("bug")
    with pytest.raises(KeyError):
        writer.flush()
    with pytest.raises(KeyError):
        writer.put(1)
    assert not writer.drain(0.1)


def test_a_disk_that_cannot_keep_what_waits_is_said(store):
    def full(item):
        raise MemoryError("no space")

    store.keep, store.there = full, False
    writer = store.writer()
    writer.put(0)
    with pytest.raises(MemoryError, match="no space"):
        writer.flush()


def test_closed_the_thread_ends_and_what_waits_is_kept(store):
    store.there, writer = False, store.writer()
    writer.put(0)
    assert not writer.drain(0.05)
    writer.close()
    writer.thread.join(2)
    assert not writer.thread.is_alive()
    assert store.kept == [0]
