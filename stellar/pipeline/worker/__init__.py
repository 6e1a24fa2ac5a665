"""Workers: processes that run pipelines, or one phase of them, on the topics of Kafka.

plan       the topics, consumer groups and targets of a phase
groups     the pipelines of the phases after the parser, by the sensor that each record names
targets    topics, files and databases as targets, acknowledged together
metrics    its metrics and health
loop       reads, delivers, acknowledges and commits, until the worker is stopped
"""
