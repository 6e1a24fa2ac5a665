"""The commands: `maas` with serve, deploy, traffic, status and doctor, and Metron's two."""
