//! `mail {}` and what may stand in it (spec/config.md sections 9 to 16).

pub(super) mod auth;
pub(super) mod listen;
pub(super) mod methods;
mod proxy;
mod server;
pub(super) mod tls;
mod upstream_ssl;

use std::collections::{HashMap, HashSet};

use super::directive::Directive;
use super::errors::Damage;
use super::layer::Layer;
use crate::runtime::Peer;
pub(super) use server::ServerBlock;
use server::deprecated;

pub(super) const TABLES: &[&[Directive]] = &[
    server::TABLE,
    listen::TABLE,
    methods::TABLE,
    auth::TABLE,
    proxy::TABLE,
    upstream_ssl::AUTH_HTTP_SSL,
    upstream_ssl::PROXY_SSL,
    tls::TABLE,
];

/// What `mail {}` says.
#[derive(Default)]
pub(super) struct MailBlock {
    pub(super) layer: Layer,
    pub(super) damage: Damage,
    /// The `server` that is being read.
    pub(super) current: Option<ServerBlock>,
    pub(super) servers: Vec<ServerBlock>,
    /// All addresses that are listened on.
    claimed: HashSet<Peer>,
    /// Zones of shared memory, with their sizes.
    zones: HashMap<String, u64>,
    /// The servers, put together at the end of the block.
    pub(super) merged: Vec<super::merge::Merged>,
}
