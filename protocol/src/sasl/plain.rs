//! PLAIN (RFC 4616): `[authzid] NUL authcid NUL passwd`.

use super::{Failure, forbid_empty, forbid_line_ends};
use crate::auth::Credentials;
use crate::secret::Secret;

/// Reads the decoded message. An authorization identity must be absent or equal the login: the auth server is asked
/// about one name only, and no other may be dropped in silence.
pub(super) fn parse(message: &Secret) -> Result<Credentials, Failure> {
    let message = message.expose();
    let (identity, rest) = split_at_nul(message).ok_or(Failure::PlainLogin)?;
    let (login, password) = split_at_nul(rest).ok_or(Failure::PlainPassword)?;
    if !identity.is_empty() && identity != login {
        return Err(Failure::Forbidden);
    }
    forbid_empty(login)?;
    forbid_line_ends(login)?;
    forbid_line_ends(password)?;
    Ok(Credentials::Plain { login: login.to_vec(), password: password.into() })
}

fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let nul = memchr::memchr(0, bytes)?;
    Some((&bytes[..nul], &bytes[nul + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let plain = |login: &str, password: &str| {
            Ok(Credentials::Plain { login: login.into(), password: password.as_bytes().into() })
        };
        for (message, expected) in [
            // The examples of RFC 4616 section 4: without an identity, and with one that is not the login.
            ("\0tim\0tanstaaftanstaaf", plain("tim", "tanstaaftanstaaf")),
            ("Ursel\0Kurt\0xipj3plmq", Err(Failure::Forbidden)),
            ("joe\0joe\0pw", plain("joe", "pw")),
            ("\0joe\0", plain("joe", "")),
            ("\0joe@example.org\0p w\u{e9}", plain("joe@example.org", "p w\u{e9}")),
            ("", Err(Failure::PlainLogin)),
            ("joe", Err(Failure::PlainLogin)),
            ("\0joe", Err(Failure::PlainPassword)),
            ("joe\0pw", Err(Failure::PlainPassword)),
            ("\0\0pw", Err(Failure::Forbidden)),
            ("joe\0\0pw", Err(Failure::Forbidden)),
            ("\0joe\0p\0w", Err(Failure::Forbidden)),
            ("\0joe\0pw\0", Err(Failure::Forbidden)),
            ("\0joe\r\nDELE 1\0pw", Err(Failure::Forbidden)),
            ("\0joe\rx\0pw", Err(Failure::Forbidden)),
            ("\0joe\0pw\nDELE 1", Err(Failure::Forbidden)),
        ] {
            assert_eq!(parse(&message.as_bytes().into()), expected, "{message:?}");
        }
    }
}
