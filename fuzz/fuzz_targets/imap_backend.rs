//! See `gatepost_fuzz::imap_backend`.
#![cfg_attr(fuzzing, no_main)]

gatepost_fuzz::target!(gatepost_fuzz::imap_backend);
