//! See `gatepost_fuzz::proxy_header`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::proxy_header);
