//! The auth_http exchange, sans-IO: an [`AuthRequest`] becomes the bytes of one HTTP GET, and the bytes that come
//! back become an [`AuthReply`] or an [`AuthFailure`].
//!
//! The question travels in request headers (`Auth-User`, `Auth-Pass`, `Auth-Protocol` ...) and the answer in
//! response headers (`Auth-Status`, `Auth-Server`, `Auth-Port` ...); bodies carry nothing. The rules are those of
//! nginx's mail proxy, so the auth services written for it work as they are, the ones that answer with bare header
//! lines and no status line included.
//!
//! One [`Exchange`] is one question. Its caller owns the connection and the deadline:
//!
//! 1. [`Exchange::new`] builds the request; write [`Exchange::request`] to a connection, new or kept alive.
//! 2. Give all that arrives to [`Exchange::handle_input`], or end of file to [`Exchange::handle_eof`], until there is
//!    a result. It is there as soon as the blank line behind the headers is; bodies are not waited for.
//! 3. If the connection fails first, the same request may go to a new one unless [`Exchange::is_answered`]; where the
//!    server has several addresses, [`Servers`] has their order.
//! 4. After the result, [`Exchange::is_reusable`] tells whether the connection can carry the next exchange.
//!
//! Nothing a server sends is a panic, and nothing over [`HEAD_LIMIT`] bytes is kept. What may hold a password is
//! wiped when dropped.
//!
//! [`AuthRequest`]: gatepost_protocol::auth::AuthRequest
//! [`AuthReply`]: gatepost_protocol::auth::AuthReply
//! [`AuthFailure`]: gatepost_protocol::auth::AuthFailure
#![forbid(unsafe_code)]

mod body;
mod exchange;
mod reply;
mod request;
mod servers;
mod settings;
mod wiped;

pub use exchange::{Exchange, HEAD_LIMIT};
pub use reply::LONGEST_WAIT;
pub use request::write;
pub use servers::{Servers, connect_share};
pub use settings::{Settings, SettingsError};
pub use wiped::WipedBuffer;
