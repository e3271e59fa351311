//! See `gatepost_fuzz::configuration`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::configuration);
