//! The PROXY header in front of a connection.

use gatepost_protocol::proxy_protocol::{Parsed, parse};

/// Bytes of a new connection. What a prefix is judged to be is final, and `Incomplete` ends somewhere.
pub fn proxy_header(data: &[u8]) {
    let mut verdict = Parsed::Incomplete;
    for length in 0..=data.len().min(LONGEST + 1) {
        let seen = parse(&data[..length]);
        match verdict {
            Parsed::Incomplete => verdict = seen,
            Parsed::Done { .. } => assert_eq!(seen, verdict, "more bytes change the header"),
            // What the log shows of a broken header may grow with it.
            Parsed::Failed(_) => assert!(matches!(seen, Parsed::Failed(_)), "more bytes mend the header"),
        }
    }
    match verdict {
        Parsed::Incomplete => assert!(data.len() <= LONGEST, "no header is that long"),
        Parsed::Done { length, .. } => {
            assert!(length <= LONGEST);
            assert_eq!(parse(&data[..length]), verdict, "the header ends where it says");
            assert_eq!(parse(&data[..length - 1]), Parsed::Incomplete);
        }
        Parsed::Failed(_) => {}
    }
}

/// Bytes the longest header may have, in either version.
const LONGEST: usize = 4096;
