//! See `gatepost_fuzz::smtp_commands`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::smtp_commands);
