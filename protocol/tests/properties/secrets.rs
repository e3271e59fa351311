//! No password is shown by what people print: the session, its actions, its events, what log lines show beside them.

use data_encoding::BASE64;
use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::config::{Server, StartTls};
use proptest::prelude::*;

use super::support::server::{imap, listener, pop3, smtp_with};
use super::support::{Driver, SECOND, transcript};

/// Every way to say a password, whole and spoilt: `$P` stands for it, `$N` for its length, `$B` for
/// its base64, `$M` for a PLAIN message.
const SAID: [&[&str]; 3] = [
    &[
        "a LOGIN joe $P\r\n",
        "a LOGIN joe \"$P\"\r\n",
        "a LOGIN joe {$N}\r\n$P\r\n",
        "a LOGIN joe {$N+}\r\n$P x\r\n",
        "a LOGIN joe $P x\r\n",
        "a LOGIN {3}\r\njoe \"$P\r\n",
        "a AUTHENTICATE PLAIN $M\r\n",
        "a AUTHENTICATE PLAIN\r\n$M\r\n",
        "a AUTHENTICATE LOGIN am9l\r\n$B\r\n",
        "a AUTHENTICATE LOGIN am9l\r\n$B?\r\n",
        "a AUTHENTICATE $P\r\n",
        "$M AUTHENTICATE LOGIN am9l\r\n",
        "$P LOGIN {3}\r\njoe",
    ],
    &[
        "USER joe\r\nPASS $P\r\n",
        "PASS $P\r\n",
        "USER joe\r\nPASS $P\0\r\n",
        "AUTH PLAIN $M\r\n",
        "AUTH PLAIN $M x\r\n",
        "AUTH LOGIN\r\nam9l\r\n$B\r\n",
        "AUTH LOGIN\r\nam9l\r\n$P\r\n",
    ],
    &[
        "EHLO x\r\nAUTH PLAIN $M\r\n",
        "AUTH PLAIN $M\r\n",
        "EHLO x\r\nAUTH PLAIN $M x\r\n",
        "EHLO x\r\nAUTH LOGIN\r\nam9l\r\n$B\r\n",
        "EHLO x\r\nAUTH LOGIN am9l\r\n$P\r\n",
        "EHLO x\r\nAUTH PLAIN\r\n$M?\r\n",
    ],
];

/// What the auth server may say, and the backend behind it.
const OUTCOMES: [&[&str]; 5] = [
    &["wait 1", "sleep 1", "refused 1 no", "sleep 1"],
    &["refused-with 535_5.7.8 1 no"],
    &["outage"],
    &["accepted 127.0.0.1:1", "unreachable"],
    &["accepted 127.0.0.1:1", "connected"],
];

const BACKEND: [&[&str]; 3] = [
    &["* OK\r\n", "+ \r\n", "+ \r\n", "a NO no\r\n"],
    &["+OK\r\n", "+OK\r\n", "-ERR no\r\n"],
    &["220 x\r\n", "250 x\r\n", "535 no\r\n"],
];

fn server(protocol: usize) -> Server {
    let server = match protocol {
        0 => imap(StartTls::Off),
        1 => pop3(StartTls::Off),
        _ => smtp_with(StartTls::Off, false, |settings| settings.proxy_smtp_auth = true),
    };
    Server { pass_error_message: true, ..server }
}

#[track_caller]
fn assert_nothing_is_shown(driver: &Driver, secrets: &[String]) {
    let shown = format!("{} {:?} {:?}", driver.debug(), driver.actions, driver.log_context());
    for secret in secrets {
        assert!(!shown.contains(secret.as_str()), "{secret} in {shown}");
        // Byte strings print as numbers.
        let numbers = format!("{:?}", secret.as_bytes());
        assert!(!shown.contains(numbers.trim_matches(['[', ']'])), "{secret} in {shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_password_is_shown(
        protocol in 0..SAID.len(),
        words in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        outcome in 0..OUTCOMES.len(),
        password in "[A-Z]{13,20}",
        cut in prop::option::weighted(0.2, 0..30_usize),
    ) {
        let message = BASE64.encode(format!("\0joe\0{password}").as_bytes());
        // The last group depends on what follows it.
        let base64 = BASE64.encode(password.as_bytes());
        let secrets = [password.clone(), message[8..20].to_owned(), base64[..16].to_owned()];
        let mut driver = Driver::open(&listener(server(protocol)));
        for word in words {
            let said = word.get(SAID[protocol]);
            let said = said.replace("$B", &base64).replace("$M", &message).replace("$P", &password);
            let said = said.replace("$N", &password.len().to_string());
            let end = cut.map_or(said.len(), |cut| said.len().saturating_sub(cut));
            for byte in said.as_bytes()[..end].chunks(1) {
                driver.input(Side::Client, byte);
                assert_nothing_is_shown(&driver, &secrets);
            }
            let asked = driver.actions.iter().any(|action| matches!(action, Action::Authenticate(_)));
            driver.actions.clear();
            if !asked {
                continue;
            }
            for order in OUTCOMES[outcome] {
                transcript::order(order, &mut driver);
                assert_nothing_is_shown(&driver, &secrets);
            }
            for line in BACKEND[protocol] {
                if driver.wants_input(Side::Backend) {
                    driver.input(Side::Backend, line.as_bytes());
                    assert_nothing_is_shown(&driver, &secrets);
                }
            }
            driver.actions.clear();
            driver.wait(SECOND * 2);
        }
    }
}
