import asyncio

from ferlab.live.web.feed import Feed


def test_who_is_slow_gets_the_newest_of_each_source() -> None:
    async def run() -> list[str]:
        feed: Feed[str] = Feed()
        feed.publish(0, "before anybody listens")
        with feed.listening() as slow, feed.listening() as quick:
            assert len(feed) == 2
            told = []
            for number in range(3):
                feed.publish(1, f"a{number}")
                told.append(await quick.take())
            feed.publish(2, "b0")
            assert told == ["a0", "a1", "a2"]
            found = [await slow.take(), await slow.take()]
            waiting = asyncio.create_task(slow.take())
            await asyncio.sleep(0)
            assert not waiting.done()
            feed.publish(1, "a3")
            found.append(await waiting)
        assert len(feed) == 0
        return found

    assert asyncio.run(run()) == ["a2", "b0", "a3"]


def test_a_source_that_never_rests_does_not_keep_another_from_being_heard() -> None:
    async def run() -> list[str]:
        feed: Feed[str] = Feed()
        with feed.listening() as listener:
            feed.publish(1, "a")
            feed.publish(2, "b")
            found = []
            for _ in range(4):
                found.append(await listener.take())
                feed.publish(1, "a")
            return found

    assert asyncio.run(run()) == ["a", "b", "a", "a"]
