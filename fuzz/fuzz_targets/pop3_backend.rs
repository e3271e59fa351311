//! See `gatepost_fuzz::pop3_backend`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::pop3_backend);
