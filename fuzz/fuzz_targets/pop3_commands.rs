//! See `gatepost_fuzz::pop3_commands`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::pop3_commands);
