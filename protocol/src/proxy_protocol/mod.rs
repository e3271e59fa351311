//! The PROXY protocol, versions 1 and 2: read from a balancer, written to a backend.
