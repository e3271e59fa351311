//! The gatepost mail proxy on smol.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatepost_daemon::run("gatepost-smol", |worker| gatepost_smol::block_on(|runtime| worker.serve(runtime)))
}
