//! The gatepost mail proxy on tokio.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatepost_daemon::run("gatepost-tokio", |worker| gatepost_tokio::block_on(|runtime| worker.serve(runtime)))
}
