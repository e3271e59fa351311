//! See `gatepost_fuzz::sasl`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::sasl);
