//! SHA-256 over lists.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as crypto;

use crypto::digest::{Context, SHA256};

/// A digest of SHA-256.
pub(super) type Digest = [u8; 32];

/// The digest of a list, different for any two lists.
pub(super) fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With lengths, so that no two lists look the same.
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_differ() {
        let lists: [&[&[u8]]; 5] = [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"]];
        for (index, list) in lists.iter().enumerate() {
            for other in &lists[..index] {
                assert_ne!(digest_of(list), digest_of(other));
            }
        }
    }
}
