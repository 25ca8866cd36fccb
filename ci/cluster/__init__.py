"""Runs brokers of other makes on free loopback ports, for tests and figures: a cluster of RabbitMQ
nodes, a NATS server, and the load balancer in front of several nodes.

All are Debian's packages, run as whoever runs this, in a temporary folder, and end with the `with`
block; the services that Debian makes of them are neither used nor started.
"""
