//! The gatepost mail proxy on smol.

fn main() {}
