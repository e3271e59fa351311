//! See `gatepost_fuzz::dns_answer`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::dns_answer);
