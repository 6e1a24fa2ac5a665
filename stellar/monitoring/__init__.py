"""Metrics, health and logs of programs that run for long.

metrics      metrics, their samples, and the text format of Prometheus
histograms   distributions of durations
process      the metrics of this process
address      addresses to listen on
server       the HTTP server of metrics and health
processes    metrics and health of several processes at one address
json_logs    messages and log records as lines of JSON
options      the command line options of all of these
"""
