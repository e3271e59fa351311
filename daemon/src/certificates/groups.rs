//! OpenSSL's lists of groups for key exchange, as `ssl_ecdh_curve` has them (SSL_CTX_set1_curves_list(3)).

use rustls::NamedGroup;

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// The preferred ones first.
    pub(super) groups: Vec<NamedGroup>,
    /// Names of groups that OpenSSL has and we do not.
    pub(super) left_out: Vec<String>,
}

/// Groups by OpenSSL's names, those of its later versions included.
const KNOWN: [(&str, NamedGroup); 11] = [
    ("X25519", NamedGroup::X25519),
    ("x25519", NamedGroup::X25519),
    ("prime256v1", NamedGroup::secp256r1),
    ("secp256r1", NamedGroup::secp256r1),
    ("P-256", NamedGroup::secp256r1),
    ("secp384r1", NamedGroup::secp384r1),
    ("P-384", NamedGroup::secp384r1),
    ("X25519MLKEM768", NamedGroup::X25519MLKEM768),
    ("SecP256r1MLKEM768", NamedGroup::secp256r1MLKEM768),
    ("MLKEM768", NamedGroup::MLKEM768),
    ("MLKEM1024", NamedGroup::MLKEM1024),
];

const OTHERS: [&str; 19] = [
    "secp521r1",
    "P-521",
    "X448",
    "x448",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "ffdhe8192",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
    "prime192v1",
    "P-192",
    "secp224r1",
    "P-224",
    "secp256k1",
    "SecP384r1MLKEM1024",
    "MLKEM512",
];

/// Reads a list; `offered` are the groups there are.
///
/// # Errors
/// The reason in OpenSSL's words; it has none for some mistakes.
pub(super) fn parse(list: &str, offered: &[NamedGroup]) -> Result<Groups, Option<String>> {
    let mut found = Groups::default();
    for item in list.split(':') {
        let item = item.trim();
        // Behind `?` stands what need not be known.
        let (name, is_optional) = item.strip_prefix('?').map_or((item, false), |name| (name, true));
        if name.is_empty() {
            return Err(None);
        }
        let group = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, group)| *group);
        match group {
            Some(group) if found.groups.contains(&group) => return Err(None),
            Some(group) if offered.contains(&group) => found.groups.push(group),
            _ if is_optional => {}
            None if !OTHERS.contains(&name) => {
                let reason = format!(
                    "error:0A080106:SSL routines::passed invalid argument:group '{name}' cannot be set"
                );
                return Err(Some(reason));
            }
            Some(_) | None => found.left_out.push(name.to_owned()),
        }
    }
    match found.groups.is_empty() {
        true => Err(Some("none of these groups is supported".into())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: [NamedGroup; 3] = [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

    #[test]
    fn names_in_their_order() {
        for (list, expected, left_out) in [
            ("X25519", &OFFERED[..1], ""),
            (" prime256v1 : secp384r1", &OFFERED[1..], ""),
            ("X25519:P-256:P-384", &OFFERED, ""),
            ("?X25519MLKEM768:x25519:?FOO", &OFFERED[..1], ""),
            ("X25519MLKEM768:X25519:X448:secp521r1", &OFFERED[..1], "X25519MLKEM768 X448 secp521r1"),
        ] {
            let found = parse(list, &OFFERED).expect(list);
            assert_eq!((&found.groups[..], &*found.left_out.join(" ")), (expected, left_out), "{list}");
        }
    }

    #[test]
    fn refusals_of_openssl() {
        for list in ["", ":", "X25519:", ":X25519", "X25519:X25519", "P-256:prime256v1", "X25519:?"] {
            assert_eq!(parse(list, &OFFERED), Err(None), "{list}");
        }
        for (list, name) in
            [("foo", "foo"), ("X25519:p-256", "p-256"), ("auto:X25519", "auto"), ("AUTO", "AUTO")]
        {
            let expected =
                format!("error:0A080106:SSL routines::passed invalid argument:group '{name}' cannot be set");
            assert_eq!(parse(list, &OFFERED), Err(Some(expected)));
        }
        let expected = Some("none of these groups is supported".to_owned());
        assert_eq!(parse("secp521r1:ffdhe2048", &OFFERED), Err(expected));
    }
}
