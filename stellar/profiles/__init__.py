"""Profiles: values of an entity in each period, such as the number of bytes that a host sends in 15 minutes.

periods       periods of time, and the settings for their length
windows       the language that selects periods, such as `30 minute window every 24 hours from 14 days ago`
days          the days that a window includes or excludes: days of the week, dates, holidays
definitions   the definitions of `profiler.json`
routing       the entities that a message counts for
builder       the value of one entity, built message by message
local         a profiler in memory
store         the values in a store
stream        a profiler of a stream of messages
"""
