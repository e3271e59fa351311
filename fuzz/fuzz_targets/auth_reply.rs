//! See `gatepost_fuzz::auth_reply`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::auth_reply);
