//! The response of an auth server.

use std::sync::Arc;

use gatepost_auth_client::{Exchange, Settings};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::{AuthFailure, AuthReply, AuthRequest, Credentials, Target};
use gatepost_protocol::config::Protocol;
use gatepost_protocol::secret::Secret;

/// A response, read whole and byte by byte. The first byte chooses who asks: bit 0 keeps the connection alive, bit 1 is
/// SMTP, bit 2 offers no password, bit 3 takes host names.
pub fn auth_reply(data: &[u8]) {
    let Some((choice, response)) = data.split_first() else { return };
    let (whole, first) = feed(*choice, [response]);
    let (split, second) = feed(*choice, response.chunks(1));
    assert_eq!(whole, split);
    assert_eq!(first.is_reusable(), second.is_reusable());
    assert_eq!(first.is_answered(), !response.is_empty(), "what was answered is not asked again");
    assert!(!first.is_reusable() || choice & 1 == 1, "nobody asked to keep the connection");
    assert!(!first.is_reusable() || first.may_become_reusable());
    match whole {
        Ok(AuthReply::Refused(refusal)) => {
            assert!(!refusal.text.is_empty() && !refusal.text.iter().any(u8::is_ascii_control));
            assert!(refusal.code.is_none_or(|code| code.starts_with(['4', '5'])));
        }
        Ok(AuthReply::Accepted(accepted)) => {
            let needs_password = choice & 0b110 == 0b100;
            assert!(!needs_password || accepted.password.is_some());
            assert_ne!(port(&accepted.backend.target, choice & 8 != 0), 0);
            let forbidden = |text: &[u8]| text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
            assert!(!accepted.login.is_some_and(|login| forbidden(&login)));
            assert!(!accepted.password.is_some_and(|password| forbidden(password.expose())));
        }
        Ok(AuthReply::Wait(_)) | Err(_) => {}
    }
}

/// The port of a backend, which is at a name only where there is somebody to look it up.
fn port(target: &Target, takes_names: bool) -> u16 {
    match target {
        Target::Address(address) => address.port(),
        Target::Name { host, port } => {
            assert!(takes_names, "nobody looks up names");
            let is_label = |label: &str| {
                let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
            };
            assert!(host.split('.').all(is_label), "{host}");
            *port
        }
    }
}

fn feed<'a>(
    choice: u8,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<AuthReply, AuthFailure>, Exchange) {
    let login = b"alice".to_vec();
    let credentials = match choice & 4 {
        0 => Credentials::Plain { login, password: Secret::from(&b"password"[..]) },
        _ => Credentials::External { login },
    };
    let request = AuthRequest {
        credentials: Arc::new(credentials),
        protocol: if choice & 2 == 0 { Protocol::Imap } else { Protocol::Smtp },
        attempt: 1,
        client: ClientAddr::Unix,
        client_host: None,
        proxy: None,
        tls: None,
    };
    let settings = Settings::new("localhost", "/").expect("well-formed").with_keepalive(choice & 1 == 1);
    let settings = settings.with_host_names(choice & 8 != 0);
    let mut exchange = Exchange::new(&request, &settings);
    let mut result = None;
    for read in reads {
        let news = exchange.handle_input(read);
        assert!(result.is_none() || news.is_none(), "a second result");
        result = result.or(news);
    }
    (result.unwrap_or_else(|| Err(exchange.handle_eof())), exchange)
}
