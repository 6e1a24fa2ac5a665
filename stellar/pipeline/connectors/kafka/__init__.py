"""Topics of Kafka as sources and targets, by librdkafka (the package confluent-kafka).

settings   brokers, security and other properties, in the names of librdkafka and of Kafka's Java client
client     the loaded library; its errors, explained
values     JSON as Metron writes it to topics
consumer   reads topics as a member of a consumer group
producer   writes to topics, acknowledged
topics     creates, lists and describes topics
"""
