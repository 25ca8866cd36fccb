"""Tests the supervisor: dead tasks are started again, only healthy ones feed the watchdog."""

import asyncio
import unittest

from fakes import FakeLog, run, until

from mqboard.health.supervisor import Supervisor


class SupervisorTest(unittest.TestCase):
    def test_it_feeds_restarts_and_logs(self):
        async def go():
            fed = []
            log = FakeLog()
            supervisor = Supervisor(lambda: fed.append(1), log)
            runs = []

            async def dies():
                runs.append(1)
                raise ValueError("boom")

            supervisor.add("mortal", dies)
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(runs) == 2 and len(fed) >= 2)
            self.assertIn("mortal", log.lines[0])
            self.assertTrue(supervisor.calm_s() < 1)
            task.cancel()

        run(go())

    def test_a_vital_task_may_neither_return_nor_be_cancelled(self):
        async def go():
            log = FakeLog()
            supervisor = Supervisor(lambda: None, log)

            async def returns():
                pass

            async def waits():
                await asyncio.sleep(60)

            supervisor.add("short", returns)
            supervisor.add("long", waits)
            supervisor.add("once", returns, vital=False)
            supervisor._entries[1].task.cancel()
            task = asyncio.create_task(supervisor.run())
            await until(lambda: len(supervisor._entries) == 2 and len(log.lines) >= 4)
            self.assertEqual([entry.deaths for entry in supervisor._entries], [1, 1])
            self.assertIn("returned", "".join(log.lines))
            self.assertIn("cancelled", "".join(log.lines))
            task.cancel()

        run(go())

    def test_a_vital_task_that_keeps_dying_starves_the_watchdog(self):
        async def go():
            fed = []
            supervisor = Supervisor(lambda: fed.append(1), FakeLog())

            async def lives():
                await asyncio.sleep(60)

            supervisor.add("vital", lives)
            supervisor.add("module", lives, vital=False)
            vital, module = supervisor._entries
            module.deaths = 99
            self.assertTrue(supervisor.trusty())
            vital.deaths = 99
            self.assertFalse(supervisor.trusty())

        run(go())


if __name__ == "__main__":
    unittest.main()
