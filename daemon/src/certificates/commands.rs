//! `ssl_conf_command`: OpenSSL's configuration commands (SSL_CONF_cmd(3)), as far as rustls has their like.

use super::negotiation::Negotiation;

/// Does what a command says. Returns what of it has no effect: nothing, words of its value, or the whole.
///
/// # Errors
/// nginx's message for a command that OpenSSL would refuse.
pub(crate) fn command(negotiation: &mut Negotiation, name: &str, value: &str) -> Result<Vec<String>, String> {
    let known = COMMANDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let failed = |reason: &str| format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: {reason})");
    let Some((canonical, run)) = known else {
        return Err(failed(&format!("error:0A000182:SSL routines::unknown cmd name:cmd={name}")));
    };
    match run(negotiation, value) {
        Ok(Effect::Full) => Ok(Vec::new()),
        Ok(Effect::None) => Ok(vec![(*canonical).to_owned()]),
        Ok(Effect::Without(words)) => {
            Ok(words.into_iter().map(|word| format!("{canonical} {word}")).collect())
        }
        Err(BadValue(reason)) => {
            let reason = reason.map(|reason| reason + " ").unwrap_or_default();
            Err(failed(&format!("{reason}error:0A000180:SSL routines::bad value:cmd={name}, value={value}")))
        }
    }
}

enum Effect {
    Full,
    None,
    /// All but these words.
    Without(Vec<String>),
}

/// With the reason, where OpenSSL says one.
struct BadValue(Option<String>);

type Run = fn(&mut Negotiation, &str) -> Result<Effect, BadValue>;

const COMMANDS: [(&str, Run); 26] = [
    ("CipherString", |negotiation, value| {
        done(negotiation.set_ciphers(value).map_err(|reason| Some(reason.to_owned())))
    }),
    ("Ciphersuites", |negotiation, value| {
        done(negotiation.set_tls13_ciphers(value).map_err(|reason| Some(reason.to_owned())))
    }),
    ("Curves", groups),
    ("Groups", groups),
    ("ECDHParameters", |negotiation, value| {
        let is_automatic = ["automatic", "+automatic"].iter().any(|word| word.eq_ignore_ascii_case(value));
        if is_automatic { Ok(Effect::Full) } else { groups(negotiation, value) }
    }),
    ("MinProtocol", |negotiation, value| {
        let version = version(value)?;
        negotiation.tls12 &= version <= Version::Tls12;
        negotiation.tls13 &= version <= Version::Tls13;
        Ok(Effect::Full)
    }),
    ("MaxProtocol", |negotiation, value| {
        let version = version(value)?;
        negotiation.tls12 &= version >= Version::Tls12 || version == Version::Any;
        negotiation.tls13 &= version >= Version::Tls13 || version == Version::Any;
        Ok(Effect::Full)
    }),
    ("Protocol", protocol),
    ("Options", options),
    ("NumTickets", num_tickets),
    ("Certificate", no_effect),
    ("ChainCAFile", no_effect),
    ("ChainCAPath", no_effect),
    ("ClientCAFile", no_effect),
    ("ClientCAPath", no_effect),
    ("ClientSignatureAlgorithms", no_effect),
    ("DHParameters", no_effect),
    ("PrivateKey", no_effect),
    ("RecordPadding", no_effect),
    ("RequestCAFile", no_effect),
    ("RequestCAPath", no_effect),
    ("ServerInfoFile", no_effect),
    ("SignatureAlgorithms", no_effect),
    ("VerifyCAFile", no_effect),
    ("VerifyCAPath", no_effect),
    ("VerifyMode", no_effect),
];

fn done(outcome: Result<(), Option<String>>) -> Result<Effect, BadValue> {
    outcome.map(|()| Effect::Full).map_err(BadValue)
}

fn no_effect(_: &mut Negotiation, _: &str) -> Result<Effect, BadValue> {
    Ok(Effect::None)
}

fn groups(negotiation: &mut Negotiation, value: &str) -> Result<Effect, BadValue> {
    negotiation.set_groups(value).map(Effect::Without).map_err(BadValue)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    /// `None`: no limit.
    Any,
    Old,
    Tls12,
    Tls13,
}

fn version(value: &str) -> Result<Version, BadValue> {
    match value {
        // Limits of DTLS say nothing of TLS.
        "None" | "DTLSv1" | "DTLSv1.2" => Ok(Version::Any),
        "SSLv3" | "TLSv1" | "TLSv1.1" => Ok(Version::Old),
        "TLSv1.2" => Ok(Version::Tls12),
        "TLSv1.3" => Ok(Version::Tls13),
        _ => Err(BadValue(None)),
    }
}

/// The words of a list, each with whether it is to be on.
fn switches(value: &str) -> impl Iterator<Item = (&str, bool)> {
    value.split(',').map(|word| {
        let word = word.trim();
        match word.strip_prefix('-') {
            Some(word) => (word, false),
            None => (word.strip_prefix('+').unwrap_or(word), true),
        }
    })
}

fn protocol(negotiation: &mut Negotiation, value: &str) -> Result<Effect, BadValue> {
    const OLD: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "DTLSv1", "DTLSv1.2"];
    for (word, is_on) in switches(value) {
        let is = |known: &str| known.eq_ignore_ascii_case(word);
        if is("ALL") {
            (negotiation.tls12, negotiation.tls13) = (is_on, is_on);
        } else if is("TLSv1.2") {
            negotiation.tls12 = is_on;
        } else if is("TLSv1.3") {
            negotiation.tls13 = is_on;
        } else if !OLD.iter().any(|known| is(known)) {
            return Err(BadValue(None));
        }
    }
    Ok(Effect::Full)
}

/// What one of OpenSSL's options is here.
#[derive(Clone, Copy)]
enum Choice {
    Is(fn(&mut Negotiation) -> &mut bool),
    Always,
    Never,
}

const OPTIONS: [(&str, Choice); 26] = [
    ("ServerPreference", Choice::Is(|negotiation| &mut negotiation.prefers_own_ciphers)),
    ("SessionTicket", Choice::Is(|negotiation| &mut negotiation.tickets)),
    ("AllowNoDHEKEX", Choice::Never),
    ("AntiReplay", Choice::Always),
    ("Bugs", Choice::Never),
    ("CANames", Choice::Always),
    ("ClientRenegotiation", Choice::Never),
    ("Compression", Choice::Never),
    ("DHSingle", Choice::Always),
    ("ECDHSingle", Choice::Always),
    ("EmptyFragments", Choice::Never),
    ("EncryptThenMac", Choice::Never),
    ("ExtendedMasterSecret", Choice::Always),
    ("IgnoreUnexpectedEOF", Choice::Never),
    ("KTLS", Choice::Never),
    ("KTLSTxZerocopySendfile", Choice::Never),
    ("MiddleboxCompat", Choice::Always),
    ("NoRenegotiation", Choice::Always),
    ("NoResumptionOnRenegotiation", Choice::Always),
    ("PreferNoDHEKEX", Choice::Never),
    ("PrioritizeChaCha", Choice::Never),
    ("RxCertificateCompression", Choice::Never),
    ("StrictCertCheck", Choice::Never),
    ("TxCertificateCompression", Choice::Never),
    ("UnsafeLegacyRenegotiation", Choice::Never),
    ("UnsafeLegacyServerConnect", Choice::Never),
];

fn options(negotiation: &mut Negotiation, value: &str) -> Result<Effect, BadValue> {
    let mut without = Vec::new();
    for (word, is_on) in switches(value) {
        let known = OPTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        match known.ok_or(BadValue(None))?.1 {
            Choice::Is(setting) => *setting(negotiation) = is_on,
            // Some ask for what is so anyway.
            Choice::Always if is_on => {}
            Choice::Never if !is_on => {}
            Choice::Always => without.push(format!("-{word}")),
            Choice::Never => without.push(word.to_owned()),
        }
    }
    Ok(Effect::Without(without))
}

/// As atoi(3) reads it.
fn num_tickets(negotiation: &mut Negotiation, value: &str) -> Result<Effect, BadValue> {
    /// More than any client wants.
    const MOST: usize = 255;
    let number = value.trim_start();
    if number.starts_with('-') {
        return Err(BadValue(None));
    }
    let number = number.strip_prefix('+').unwrap_or(number);
    let end = number.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(number.len());
    negotiation.tls13_tickets = match &number[..end] {
        "" => 0,
        digits => digits.parse().unwrap_or(MOST).min(MOST),
    };
    Ok(Effect::Full)
}

#[cfg(test)]
mod tests {
    use rustls::{CipherSuite, NamedGroup};

    use super::*;
    use crate::certificates::ciphers::DEFAULT;

    fn default() -> Negotiation {
        Negotiation::new(true, true, DEFAULT).expect("the defaults are good")
    }

    /// What commands make of the defaults, and what of them has no effect.
    fn run(commands: &[(&str, &str)]) -> (Negotiation, Vec<String>) {
        let mut negotiation = default();
        let without =
            commands.iter().flat_map(|(name, value)| command(&mut negotiation, name, value).expect(value));
        let without = without.collect();
        (negotiation, without)
    }

    #[test]
    fn versions() {
        for (commands, expected) in [
            (&[("MinProtocol", "None"), ("MaxProtocol", "None")][..], (true, true)),
            (&[("minprotocol", "TLSv1")], (true, true)),
            (&[("MinProtocol", "TLSv1.2")], (true, true)),
            (&[("MinProtocol", "TLSv1.3")], (false, true)),
            (&[("MaxProtocol", "TLSv1.3")], (true, true)),
            (&[("MaxProtocol", "TLSv1.2")], (true, false)),
            (&[("MaxProtocol", "TLSv1.1")], (false, false)),
            (&[("Protocol", "-ALL, tlsv1.2")], (true, false)),
            (&[("Protocol", "-TLSv1.2,-SSLv3")], (false, true)),
        ] {
            let (negotiation, without) = run(commands);
            assert_eq!((negotiation.tls12, negotiation.tls13), expected, "{commands:?}");
            assert_eq!(without, [""; 0]);
        }
    }

    #[test]
    fn suites_and_groups() {
        let (negotiation, without) = run(&[
            ("CipherString", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("Ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
            ("Groups", "P-384:X25519:X448"),
        ]);
        assert_eq!(negotiation.tls12_suites, [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]);
        assert_eq!(negotiation.tls13_suites, [CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]);
        assert_eq!(negotiation.groups, Some(vec![NamedGroup::secp384r1, NamedGroup::X25519]));
        assert_eq!(without, ["Groups X448"]);
        let (negotiation, _) = run(&[("ECDHParameters", "Automatic"), ("Ciphersuites", "")]);
        assert!(negotiation.groups.is_none() && negotiation.tls13_suites.is_empty());
        assert!(negotiation.is_possible());
        let (negotiation, _) = run(&[("CipherString", "ALL:@SECLEVEL=4")]);
        let aes128 = CipherSuite::TLS13_AES_128_GCM_SHA256;
        assert!(negotiation.tls13_suites.len() == 2 && !negotiation.tls13_suites.contains(&aes128));
    }

    #[test]
    fn options_and_tickets() {
        let (negotiation, without) =
            run(&[("Options", "+ServerPreference , -sessionticket,-Compression,ECDHSingle")]);
        assert!(negotiation.prefers_own_ciphers && !negotiation.tickets);
        assert_eq!(without, [""; 0]);
        let (_, without) = run(&[("Options", "PrioritizeChaCha,KTLS,-AntiReplay"), ("verifymode", "Peer")]);
        assert_eq!(
            without,
            ["Options PrioritizeChaCha", "Options KTLS", "Options -AntiReplay", "VerifyMode"]
        );
        for (text, expected) in
            [("0", 0), ("4", 4), (" +4x", 4), ("x", 0), ("", 0), ("99999999999999999999", 255)]
        {
            assert_eq!(run(&[("NumTickets", text)]).0.tls13_tickets, expected, "{text}");
        }
    }

    #[test]
    fn refusals_of_openssl() {
        let bad_value =
            |name, value| format!("error:0A000180:SSL routines::bad value:cmd={name}, value={value}");
        let no_match = "error:0A0000B9:SSL routines::no cipher match ";
        let no_group = "error:0A080106:SSL routines::passed invalid argument:group 'foo' cannot be set ";
        for (name, value, before) in [
            ("CipherString", "FOO", no_match),
            ("Ciphersuites", "FOO", no_match),
            ("Curves", "foo", no_group),
            ("Groups", "", ""),
            ("ECDHParameters", "foo", no_group),
            ("Options", "X", ""),
            ("Options", "ServerPreference,,", ""),
            ("Options", "+ServerPreference,+ -Bugs", ""),
            ("Options", "", ""),
            ("MinProtocol", "tlsv1.2", ""),
            ("MinProtocol", "", ""),
            ("MaxProtocol", "X", ""),
            ("Protocol", "X", ""),
            ("NumTickets", "-1", ""),
        ] {
            let error = command(&mut default(), name, value).expect_err(value);
            let reason = format!("{before}{}", bad_value(name, value));
            assert_eq!(error, format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: {reason})"));
        }
        let unknown = "SSL_CONF_cmd(\"-cipher\", \"HIGH\") failed (SSL: error:0A000182:SSL routines::unknown cmd name:cmd=-cipher)";
        assert_eq!(command(&mut default(), "-cipher", "HIGH"), Err(unknown.into()));
    }
}
