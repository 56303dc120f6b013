"""What is seen, to whoever listens: the newest of each source, so that who is slow misses some and delays nobody."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Listener(Generic[Item]):
    """One that listens; of the event loop's thread, as all of a feed."""

    def __init__(self) -> None:
        self._newest: dict[int, Item] = {}
        self._news = asyncio.Event()

    def put(self, source: int, item: Item) -> None:
        """Keep it in place of the last one of this source."""
        self._newest[source] = item
        self._news.set()

    async def take(self) -> Item:
        """The next one, once there is one: of each source in turn."""
        await self._news.wait()
        source = next(iter(self._newest))
        item = self._newest.pop(source)
        if not self._newest:
            self._news.clear()
        return item


class Feed(Generic[Item]):
    """Gives every item to all who listen."""

    def __init__(self) -> None:
        self._listeners: set[Listener[Item]] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def publish(self, source: int, item: Item) -> None:
        """Give an item of a source to all."""
        for each in self._listeners:
            each.put(source, item)

    @contextmanager
    def listening(self) -> Iterator[Listener[Item]]:
        """Listen for as long as the block lasts."""
        listener: Listener[Item] = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
