"""Tests of configurations, which are YAML files beside them.

loading      the files, with the location of each error
environment  the clock, models, stores and services of a test
running      runs a test, and compares the outcome with the expected one
reports      the results for people, and as JUnit's XML
"""
