//! CRAM-MD5 (RFC 2195): `login SP digest`, the digest 32 hexadecimal digits.

use super::{Failure, forbid_empty, forbid_line_ends};
use crate::auth::Credentials;
use crate::secret::Secret;

const DIGEST_LENGTH: usize = 32;

/// Reads the decoded message that answers `challenge`. The last space divides it, for a login may hold spaces and a
/// digest may not.
pub(super) fn parse(message: &Secret, challenge: Box<str>) -> Result<Credentials, Failure> {
    let message = message.expose();
    let space = memchr::memrchr(b' ', message).ok_or(Failure::CramMd5)?;
    let (login, digest) = (&message[..space], &message[space + 1..]);
    if digest.len() != DIGEST_LENGTH || !digest.iter().all(u8::is_ascii_hexdigit) {
        return Err(Failure::CramMd5);
    }
    forbid_empty(login)?;
    forbid_line_ends(login)?;
    Ok(Credentials::CramMd5 { login: login.to_vec(), digest: digest.into(), challenge })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of the example in RFC 2195 section 2.
    const DIGEST: &str = "b913a602c7eda7a495b4e6e7334d3890";

    fn answer(login: &str, digest: &str) -> Result<Credentials, Failure> {
        parse(&format!("{login} {digest}").into_bytes().as_slice().into(), "<1.2@mx>".into())
    }

    #[test]
    fn the_digest_goes_with_its_challenge() {
        for (login, digest) in [("tim", DIGEST), ("tim", &DIGEST.to_uppercase()), ("tim smith", DIGEST)] {
            let expected = Credentials::CramMd5 {
                login: login.into(),
                digest: digest.as_bytes().into(),
                challenge: "<1.2@mx>".into(),
            };
            assert_eq!(answer(login, digest), Ok(expected));
        }
    }

    #[test]
    fn malformed_answers() {
        for (login, digest, failure) in [
            ("tim", "", Failure::CramMd5),
            ("tim", &DIGEST[1..], Failure::CramMd5),
            ("tim", &format!("{DIGEST}0"), Failure::CramMd5),
            ("tim", &format!("g{}", &DIGEST[1..]), Failure::CramMd5),
            ("tim", &format!("{DIGEST} "), Failure::CramMd5),
            ("", DIGEST, Failure::Forbidden),
            ("t\nm", DIGEST, Failure::Forbidden),
            ("t\rm", DIGEST, Failure::Forbidden),
            ("t\0m", DIGEST, Failure::Forbidden),
        ] {
            assert_eq!(answer(login, digest), Err(failure), "{login:?} {digest:?}");
        }
        assert_eq!(parse(&DIGEST.as_bytes().into(), "<1.2@mx>".into()), Err(Failure::CramMd5), "no space");
    }
}
