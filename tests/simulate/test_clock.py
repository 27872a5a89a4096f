"""A clock goes from one event to the next."""

from growlab.simulate.clock import Clock


def test_events_come_by_their_time_and_those_of_one_time_as_they_were_planned():
    clock, seen = Clock(), []

    def note(name):
        return lambda: seen.append((name, clock.now_s))

    clock.at(5.0, note("late"))
    clock.at(1.0, note("first"))
    clock.at(1.0, note("second"))
    clock.at(2.0, note("never")).call_off()
    clock.at(3.0, lambda: clock.after(0.5, note("planned at 3")))
    clock.run(lambda: len(seen) == 4)

    assert seen == [("first", 1.0), ("second", 1.0), ("planned at 3", 3.5), ("late", 5.0)]
