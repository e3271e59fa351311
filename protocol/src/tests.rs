//! What the unit tests of this crate share.

use std::time::Instant;

/// Where a test's time begins. The engine itself only ever sees `now`.
#[expect(clippy::disallowed_methods, reason = "a test's clock has to start somewhere")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
