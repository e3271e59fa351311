//! See `gatepost_fuzz::smtp_session`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::smtp_session);
