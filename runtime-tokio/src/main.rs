//! The gatepost mail proxy on tokio.

fn main() {}
