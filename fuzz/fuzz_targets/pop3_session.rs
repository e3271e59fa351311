//! See `gatepost_fuzz::pop3_session`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::pop3_session);
