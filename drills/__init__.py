"""Timed and long drills of model calls, against real processes that are killed, paused or send invalid responses.

    make drills                    all of them; about ten minutes on an idle machine of two cores
    python -m drills fork hang     some of them

Each prints its count and its result next to the requirement, and fails if that is missed. The tests assert order and
counts; measurements that take long, or depend on the speed of the machine, are drills.
"""
