"""Timed and long drills of model calls against real processes that are killed, paused and lie.

    make drills                    all of them; about ten minutes on an idle machine of two cores
    python -m drills fork hang     some of them

Each prints its count and result beside what is required, and fails if that is missed. The tests assert order and
counts; what takes time, or depends on how fast the machine is, is here.
"""
