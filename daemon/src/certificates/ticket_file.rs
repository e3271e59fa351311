//! Keys for tickets from files (`ssl_session_ticket_key`), and tickets as nginx makes them with such keys: a name, an
//! initial vector, the session encrypted with AES in CBC mode, and HMAC-SHA256 over it all.

use std::fmt;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use cbc::{Decryptor, Encryptor};
use zeroize::Zeroizing;

use super::digest::Digest;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as crypto;

use crypto::hmac;

const NAME: usize = 16;
const MAC: usize = 32;
/// Of the cipher, and so of its initial vector.
const BLOCK: usize = 16;

/// What one file holds.
pub(crate) struct TicketKey {
    name: [u8; NAME],
    aes: AesKey,
    mac: hmac::Key,
}

enum AesKey {
    Aes128(Zeroizing<[u8; 16]>),
    Aes256(Zeroizing<[u8; 32]>),
}

impl TicketKey {
    /// From the content of a file: 48 bytes, name and keys of 16 bytes for AES and HMAC, or 80, a name and keys of 32
    /// bytes for HMAC and AES. `None` for any other length.
    pub(crate) fn new(content: &[u8]) -> Option<Self> {
        let (name, keys) = content.split_first_chunk::<NAME>()?;
        let (aes, mac) = match keys.len() {
            32 => (AesKey::Aes128(Zeroizing::new(keys[..16].try_into().ok()?)), &keys[16..]),
            64 => (AesKey::Aes256(Zeroizing::new(keys[32..].try_into().ok()?)), &keys[..32]),
            _ => return None,
        };
        Some(Self { name: *name, aes, mac: hmac::Key::new(hmac::HMAC_SHA256, mac) })
    }

    /// A ticket that opens for servers with the same identity.
    pub(super) fn seal(&self, plain: &[u8], vector: [u8; BLOCK], identity: &Digest) -> Option<Vec<u8>> {
        let length = NAME + BLOCK + (plain.len() + 1).next_multiple_of(BLOCK);
        // All at once: growing would leave a copy of the session behind.
        let mut ticket = Vec::with_capacity(length + MAC);
        [&self.name[..], &vector, plain].iter().for_each(|part| ticket.extend_from_slice(part));
        ticket.resize(length, 0);
        let text = &mut ticket[NAME + BLOCK..];
        match &self.aes {
            AesKey::Aes128(key) => encrypt::<Encryptor<aes::Aes128>>(&**key, &vector, text, plain.len()),
            AesKey::Aes256(key) => encrypt::<Encryptor<aes::Aes256>>(&**key, &vector, text, plain.len()),
        }?;
        let tag = hmac::sign(&self.mac, &[&ticket, &identity[..]].concat());
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// What was sealed with this key for the same identity.
    pub(super) fn open(&self, ticket: &[u8], identity: &Digest) -> Option<Zeroizing<Vec<u8>>> {
        let (signed, tag) = ticket.split_at_checked(ticket.len().checked_sub(MAC)?)?;
        let text = signed.strip_prefix(&self.name[..])?;
        hmac::verify(&self.mac, &[signed, &identity[..]].concat(), tag).ok()?;
        let (vector, text) = text.split_at_checked(BLOCK)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = match &self.aes {
            AesKey::Aes128(key) => decrypt::<Decryptor<aes::Aes128>>(&**key, vector, &mut text),
            AesKey::Aes256(key) => decrypt::<Decryptor<aes::Aes256>>(&**key, vector, &mut text),
        }?;
        text.truncate(length);
        Some(text)
    }
}

fn encrypt<C: BlockModeEncrypt + KeyIvInit>(
    key: &[u8],
    vector: &[u8],
    text: &mut [u8],
    length: usize,
) -> Option<()> {
    C::new_from_slices(key, vector).ok()?.encrypt_padded::<Pkcs7>(text, length).ok().map(drop)
}

fn decrypt<C: BlockModeDecrypt + KeyIvInit>(key: &[u8], vector: &[u8], text: &mut [u8]) -> Option<usize> {
    C::new_from_slices(key, vector).ok()?.decrypt_padded::<Pkcs7>(text).ok().map(<[u8]>::len)
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Digest = [9; 32];

    /// Keys of both lengths; their bytes count from 0.
    fn keys() -> [TicketKey; 2] {
        [48, 80].map(|length| TicketKey::new(&(0..length).collect::<Vec<u8>>()).expect("a key"))
    }

    #[test]
    fn files_have_48_or_80_bytes() {
        for length in (0..200).filter(|length| ![48, 80].contains(length)) {
            assert!(TicketKey::new(&vec![1; length]).is_none(), "{length}");
        }
        assert_eq!(format!("{:?}", keys()), "[TicketKey(..), TicketKey(..)]");
    }

    /// Made with `openssl enc -K KEY -iv 07...` and `openssl mac -digest SHA256 -macopt hexkey:KEY HMAC`.
    #[test]
    fn known_answers_of_openssl() {
        for (key, text, mac) in [(&keys()[0], KNOWN[0].0, KNOWN[0].1), (&keys()[1], KNOWN[1].0, KNOWN[1].1)] {
            let ticket = key.seal(b"a session of 25 bytes ...", [7; BLOCK], &IDENTITY).expect("a ticket");
            assert_eq!(ticket[..NAME], (0..16).collect::<Vec<u8>>());
            assert_eq!(ticket[NAME..32], [7; BLOCK]);
            assert_eq!(data_encoding::HEXLOWER.encode(&ticket[32..64]), text);
            assert_eq!(data_encoding::HEXLOWER.encode(&ticket[64..]), mac);
        }
    }

    const KNOWN: [(&str, &str); 2] = [
        (
            "50818af7264c6748905e9fdf6ae3e1cd95b3756a1e71ba226def3cc10de8e8ee",
            "ee23bc4d1ccbcd8307899ca0bec34ce28636a87e2dc7018c6c5ad98b1114c51c",
        ),
        (
            "248ee1dcb055f1475921b8c882c85a96e417669d80a827615315b22ca5d27c78",
            "f9d6201e90821a79a6bd74c1d6c2d0f3f18207a860f2fcd085f3597110e6b339",
        ),
    ];

    #[test]
    fn tickets_open_whole_with_their_key_for_the_same_identity() {
        let [short, long] = keys();
        for length in [0, 15, 16, 100] {
            let session = vec![5; length];
            let ticket = long.seal(&session, [1; BLOCK], &IDENTITY).expect("a ticket");
            assert_eq!(ticket.capacity(), ticket.len(), "it was never moved");
            assert_eq!(long.open(&ticket, &IDENTITY).as_deref(), Some(&session));
            assert!(long.open(&ticket, &[8; 32]).is_none() && short.open(&ticket, &IDENTITY).is_none());
            for end in 0..ticket.len() {
                assert!(long.open(&ticket[..end], &IDENTITY).is_none());
                let mut changed = ticket.clone();
                changed[end] ^= 1;
                assert!(long.open(&changed, &IDENTITY).is_none(), "{end}");
            }
        }
    }
}
