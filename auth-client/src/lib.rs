//! The auth_http exchange, sans-IO.
#![forbid(unsafe_code)]
