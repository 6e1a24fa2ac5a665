"""Ordered sets keep the order of insertion, whatever method changes them."""

from __future__ import annotations

import pickle

from stellar.language.ordered_set import OrderedSet


def test_members_are_in_the_order_of_insertion():
    members = OrderedSet(["c", "a"])
    members.add("b")
    members.add("c")
    members.discard("a")
    members.discard("x")
    assert list(members) == ["c", "b"]


def test_members_added_by_other_methods_follow_the_others():
    members = OrderedSet([3, 1])
    members.update([2])
    members.remove(3)
    assert list(members) == [1, 2]


def test_a_pickled_set_keeps_its_order():
    assert list(pickle.loads(pickle.dumps(OrderedSet([3, 1, 2])))) == [3, 1, 2]
