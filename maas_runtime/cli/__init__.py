"""The commands: `maas` with a module for each of its commands, and Metron's two.

main, metron             the programs            common, output      options, errors, results as lines or JSON
serve, deploy, traffic, status, logs, call, apply, export, doctor    one module for each command
instances                what is known of instances: from the registry, containers, processes, reports
apply                    manifest reads and writes the file with yaml_reader, difference compares it
"""
