//! What holds for every input.

use proptest::prelude::*;

use super::*;

/// Bytes that get past the first word more often than random ones.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"a1 ",
        b"LOGIN ",
        b"AUTHENTICATE ",
        b"PLAIN ",
        b"LOGIN",
        b"CRAM-MD5",
        b"EXTERNAL",
        b"ID ",
        b"(",
        b")",
        b"NIL",
        b"NOOP",
        b"STARTTLS",
        b"CAPABILITY",
        b"joe",
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"+}",
        b"{0}",
        b"{3}",
        b"{3+}",
        b"{500}",
        b" ",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"AGpvZQBwdw==",
        b"am9l",
        b"=",
        b"*",
    ];
    let known = proptest::sample::select(words).prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![8 => known, 1 => proptest::collection::vec(any::<u8>(), 0..40)];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Bytes the machine keeps of what the client sent.
fn retained(machine: &Machine) -> usize {
    match &machine.state {
        State::Ready | State::Judged(_) | State::Sasl(_) => 0,
        State::Literal(AwaitedLiteral { command, size }) => command.len() + size,
        State::Rest(command) => command.len(),
    }
}

proptest! {
    #[test]
    fn any_input_is_answered_in_whole_lines(
        input in input(),
        starttls in proptest::sample::select(vec![StartTls::Off, StartTls::On, StartTls::Only]),
    ) {
        let mut peer = Peer::new(server(starttls, &[Mechanism::CramMd5, Mechanism::External]));
        peer.input = input;
        while let Some(outcome) = peer.next() {
            prop_assert!(outcome.reply.is_empty() || outcome.reply.ends_with(b"\r\n"));
            prop_assert!(retained(&peer.machine) <= CLIENT_BUFFER);
            match outcome.step {
                Step::Continue | Step::Close => {}
                Step::StartTls => {
                    prop_assert!(starttls != StartTls::Off && !peer.secured);
                    peer.on_session_event("tls started");
                }
                Step::Authenticate(credentials) => {
                    prop_assert!(starttls != StartTls::Only || peer.secured);
                    prop_assert!(!sasl::has_line_end(credentials.login()));
                    let password = credentials.password().map(Secret::expose).unwrap_or_default();
                    prop_assert!(!sasl::has_line_end(password));
                    let refused = peer.on_session_event("refused no");
                    prop_assert!(refused.reply.ends_with(b" NO no\r\n"));
                    prop_assert!(!refused.reply.starts_with(b"* "));
                }
            }
        }
    }

    /// Every way to write a login means the same.
    #[test]
    fn spellings_of_a_login_agree(login in "[ -~]{1,20}", password in "[ -~]{0,20}", plus in any::<bool>()) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let literal = |text: &str| format!("{{{}{}}}\r\n{text}", text.len(), if plus { "+" } else { "" });
        for (login_word, password_word) in [
            (quoted(&login), quoted(&password)),
            (literal(&login), literal(&password)),
            (quoted(&login), literal(&password)),
        ] {
            let mut peer = Peer::new(server(StartTls::Off, &[Mechanism::Plain]));
            peer.input = format!("a1 LOGIN {login_word} {password_word}\r\n").into_bytes();
            let mut last = None;
            while let Some(outcome) = peer.next() {
                last = Some(outcome.step);
            }
            let expected =
                Credentials::Plain { login: login.clone().into(), password: password.as_bytes().into() };
            prop_assert_eq!(last, Some(Step::Authenticate(expected)));
        }
    }

    #[test]
    fn debug_shows_no_password(password in "[a-z]{12,20}") {
        for word in [format!("\"{password}\""), password.clone(), format!("{{{}+}}\r\n{password}", password.len())] {
            let mut peer = Peer::new(server(StartTls::Off, &[Mechanism::Plain]));
            peer.input = format!("a1 LOGIN {word} {{3}}\r\n").into_bytes();
            while peer.next().is_some() {
                let shown = format!("{:?}", peer.machine);
                prop_assert!(!shown.contains(&password));
            }
            prop_assert_eq!(peer.machine.expect(), Expect::Literal(3));
        }
    }
}
