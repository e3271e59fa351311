use proptest::prelude::*;

use super::*;

/// Runs an exchange over `initial` and the base64 of each of `messages`; gives the prompts and the end.
fn run(mechanism: Mechanism, initial: Option<&[u8]>, lines: &[&[u8]]) -> (Vec<String>, Option<Progress>) {
    let mut challenges = Challenges::new([7; 16], 1_700_000_000);
    let mut prompts = Vec::new();
    let mut lines = lines.iter();
    let mut progress = Exchange::start(mechanism, initial, &mut challenges, "mx.test");
    loop {
        progress = match progress {
            Progress::Prompt(exchange, text) => {
                prompts.push(text.into_string());
                let Some(line) = lines.next() else { return (prompts, None) };
                exchange.on_response(line)
            }
            Progress::Done(_) | Progress::Failed(_) => return (prompts, Some(progress)),
        };
    }
}

#[track_caller]
fn credentials(end: Option<Progress>) -> Credentials {
    match end {
        Some(Progress::Done(credentials)) => credentials,
        Some(Progress::Prompt(..) | Progress::Failed(_)) | None => panic!("no credentials but {end:?}"),
    }
}

#[track_caller]
fn failure(end: Option<Progress>) -> Failure {
    match end {
        Some(Progress::Failed(failure)) => failure,
        Some(Progress::Prompt(..) | Progress::Done(_)) | None => panic!("no failure but {end:?}"),
    }
}

fn joe(password: &str) -> Credentials {
    Credentials::Plain { login: b"joe".to_vec(), password: password.as_bytes().into() }
}

#[test]
fn plain_in_one_or_two_steps() {
    let (prompts, end) = run(Mechanism::Plain, Some(b"AGpvZQBwdw=="), &[]);
    assert!(prompts.is_empty());
    assert_eq!(credentials(end), joe("pw"));
    let (prompts, end) = run(Mechanism::Plain, None, &[b"AGpvZQBwdw"]);
    assert_eq!(prompts, [""]);
    assert_eq!(credentials(end), joe("pw"));
}

#[test]
fn login_asks_for_what_is_missing() {
    let (prompts, end) = run(Mechanism::Login, None, &[b"am9l", b"cHc="]);
    assert_eq!(prompts, ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"]);
    assert_eq!(credentials(end), joe("pw"));
    let (prompts, end) = run(Mechanism::Login, Some(b"am9l"), &[b""]);
    assert_eq!(prompts, ["UGFzc3dvcmQ6"]);
    assert_eq!(credentials(end), joe(""));
}

#[test]
fn login_refuses_each_part_by_itself() {
    for (lines, expected) in [
        (vec![&b""[..]], Failure::Forbidden),
        (vec![b"am9lDQo="], Failure::Forbidden),
        (vec![b"am9l", b"cAB3"], Failure::Forbidden),
        (vec![b"am9l", b"!"], Failure::Base64(Mechanism::Login)),
        (vec![b"am9l", b"*"], Failure::Cancelled),
    ] {
        assert_eq!(failure(run(Mechanism::Login, None, &lines).1), expected, "{lines:?}");
    }
}

#[test]
fn cram_md5_shows_the_challenge_it_reports() {
    let digest = "b913a602c7eda7a495b4e6e7334d3890";
    let line = base64::encode(format!("tim {digest}").as_bytes());
    let (prompts, end) = run(Mechanism::CramMd5, None, &[line.as_bytes()]);
    let shown = base64::decode(prompts[0].as_bytes()).expect("a prompt is base64");
    let Credentials::CramMd5 { login, challenge, digest: reported } = credentials(end) else { panic!() };
    assert_eq!((login.as_slice(), reported.expose()), (&b"tim"[..], digest.as_bytes()));
    assert_eq!(challenge.as_bytes(), shown.expose());
    let text = challenge.strip_prefix('<').and_then(|text| text.strip_suffix(".1700000000@mx.test>"));
    assert!(text.is_some_and(|number| number.parse::<u64>().is_ok()), "{challenge}");
}

#[test]
fn each_cram_md5_exchange_has_its_own_challenge() {
    let mut challenges = Challenges::new([7; 16], 1);
    let mut prompt = || match Exchange::start(Mechanism::CramMd5, None, &mut challenges, "mx.test") {
        Progress::Prompt(_, text) => text,
        other @ (Progress::Done(_) | Progress::Failed(_)) => panic!("{other:?}"),
    };
    let (first, second) = (prompt(), prompt());
    assert_ne!(first, second);
}

#[test]
fn cram_md5_has_no_initial_response() {
    for initial in [&b""[..], b"dGlt"] {
        assert_eq!(failure(run(Mechanism::CramMd5, Some(initial), &[]).1), Failure::NoInitialResponse);
    }
}

#[test]
fn external_takes_any_login() {
    let (prompts, end) = run(Mechanism::External, None, &[b"am9l"]);
    assert_eq!(prompts, ["VXNlcm5hbWU6"]);
    assert_eq!(credentials(end), Credentials::External { login: b"joe".to_vec() });
    let (_, end) = run(Mechanism::External, Some(b""), &[]);
    assert_eq!(credentials(end), Credentials::External { login: Vec::new() });
    assert_eq!(failure(run(Mechanism::External, Some(b"am8KZQ=="), &[]).1), Failure::Forbidden);
}

#[test]
fn an_equals_sign_is_an_empty_initial_response() {
    let (_, end) = run(Mechanism::External, Some(b"="), &[]);
    assert_eq!(credentials(end), Credentials::External { login: Vec::new() });
    assert_eq!(failure(run(Mechanism::CramMd5, Some(b"="), &[]).1), Failure::NoInitialResponse);
    // Only the command has it: a response without a byte is an empty line.
    let (_, end) = run(Mechanism::External, None, &[b"="]);
    assert_eq!(failure(end), Failure::Base64(Mechanism::External));
}

#[test]
fn spaces_behind_a_response_carry_nothing() {
    let (_, end) = run(Mechanism::Login, None, &[b"am9l  ", b"cHc= "]);
    assert_eq!(credentials(end), joe("pw"));
    assert_eq!(failure(run(Mechanism::Plain, None, &[b"* "]).1), Failure::Cancelled);
}

#[test]
fn a_star_cancels_responses_only() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External] {
        assert_eq!(failure(run(mechanism, None, &[b"*"]).1), Failure::Cancelled);
    }
    assert_eq!(failure(run(Mechanism::Plain, Some(b"*"), &[]).1), Failure::Base64(Mechanism::Plain));
}

#[test]
fn failures_are_logged_by_what_was_wrong() {
    for (failure, event) in [
        (Failure::Cancelled, None),
        (Failure::NoInitialResponse, None),
        (Failure::Base64(Mechanism::CramMd5), Some(Event::InvalidBase64("CRAM-MD5"))),
        (Failure::PlainLogin, Some(Event::InvalidPlainLogin)),
        (Failure::PlainPassword, Some(Event::InvalidPlainPassword)),
        (Failure::CramMd5, Some(Event::InvalidCramMd5)),
        (Failure::Forbidden, Some(Event::InvalidCredentials)),
    ] {
        assert_eq!(failure.event(), event);
    }
}

fn any_mechanism() -> impl Strategy<Value = Mechanism> {
    prop::sample::select(vec![Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External])
}

/// Raw lines, and base64 of anything.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<Vec<u8>>().prop_map(|bytes| base64::encode(&bytes).as_bytes().to_vec()),
        "[a-z]{0,3}[\0\r\n ][a-z]{0,3}\0[a-z]{0,3}\0?"
            .prop_map(|text| base64::encode(text.as_bytes()).as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn any_client_is_done_after_two_responses(
        mechanism in any_mechanism(),
        initial in prop::option::of(any_line()),
        first in any_line(),
        second in any_line(),
    ) {
        let (_, end) = run(mechanism, initial.as_deref(), &[&first, &second]);
        let Some(Progress::Done(credentials)) = end else {
            prop_assert!(matches!(end, Some(Progress::Failed(_))));
            return Ok(());
        };
        prop_assert!(!has_line_end(credentials.login()));
        prop_assert!(credentials.password().is_none_or(|password| !has_line_end(password.expose())));
        prop_assert!(!credentials.login().is_empty() || mechanism == Mechanism::External);
    }

    #[test]
    fn debug_shows_no_password(password in "[A-Z]{12,20}") {
        let mut challenges = Challenges::new([0; 16], 0);
        let shown = |text: String| text.contains(&password)
            || text.contains(base64::encode(password.as_bytes()).trim_end_matches('='))
            || text.contains(&format!("{:?}", password.as_bytes())[1..20]);
        let plain = base64::encode(format!("\0joe\0{password}").as_bytes());
        let progress = Exchange::start(Mechanism::Plain, Some(plain.as_bytes()), &mut challenges, "mx");
        let text = format!("{progress:?}");
        prop_assert!(!shown(text));
        let password = base64::encode(password.as_bytes());
        let Progress::Prompt(exchange, _) =
            Exchange::start(Mechanism::Login, Some(b"am9l"), &mut challenges, "mx")
        else {
            panic!("no prompt")
        };
        let text = format!("{:?}", exchange.on_response(password.as_bytes()));
        prop_assert!(!shown(text));
    }
}
