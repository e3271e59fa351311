//! Peers and harness of the end-to-end tests.
